"""Scoring from end to end: what is there and not done yet → rows → parts → summary."""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from lungscope.bundle.bundle import load_bundle
from lungscope.errors import ConfigError, LungscopeError, ManifestError
from lungscope.inference.predictor import BATCH, Predictor
from lungscope.scoring.adapted_prior import adapt_scores, check_adaptable
from lungscope.scoring.engine_local import LocalEngine
from lungscope.scoring.listing import WHOLE, Item, Listing, Shard, open_listing
from lungscope.scoring.parquet import Row
from lungscope.scoring.parts import Parts, make_plan, open_parts
from lungscope.scoring.summary import Summary, Work, summarise, write_summary
from lungscope.system.disk_set import DiskSet
from lungscope.system.progress import Bar

PART_ROWS = 10_000


@dataclass(frozen=True)
class Settings:
    """How a scoring is done; none of it changes a score but runtime and precision."""

    operating_point: str | None = None
    shard: Shard = WHOLE
    resume: bool = False
    engine: Literal["local", "ray"] = "local"
    rows_per_part: int = PART_ROWS
    runtime: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    """Actors of Ray; by default one for each of the cluster's processors."""
    address: str | None = None
    """Of a Ray cluster that runs already."""
    adapt_prior: bool = False
    """Correct the finished scores for the prevalence they suggest, beside the uncorrected ones."""


class Engine(Protocol):
    """Where the scoring is done."""

    def score(self, items: Iterable[Item]) -> Iterator[list[Row]]:
        """Rows in the order of `items`, some at a time, in bounded memory."""
        ...


def run_score(source: str, model: Path, out: Path, settings: Settings) -> Summary:
    """Score every file that `source` names, each once, and write the parts and the summary to `out`.

    Args:
        source: as `open_listing` takes it.
        model: a run folder or a bundle.
        out: an empty folder; with `resume`, one of the same source and model.
        settings: how.

    Raises:
        LungscopeError: as the parts of the work have it. Parts that are finished stay, and can be resumed.
    """
    if settings.rows_per_part < 1:
        raise ConfigError("A part needs one row at least. Give --part-rows a larger number.")
    listing, bundle = open_listing(source), load_bundle(model)
    predictor = Predictor(bundle, runtime=settings.runtime, precision=settings.precision)
    plan = make_plan(listing.source, bundle, settings.operating_point)
    parts = open_parts(
        out, plan, settings.shard,
        engine=str(predictor.engine), rows=settings.rows_per_part, resume=settings.resume,
    )  # fmt: skip
    if settings.adapt_prior:
        check_adaptable(parts, bundle.card)
    with parts:
        work = _score(listing, parts, predictor, settings)
    prevalence = adapt_scores(parts, out, bundle.card) if settings.adapt_prior and parts.all() else None
    summary = summarise(parts, work, prevalence)
    if not summary.images and settings.shard == WHOLE:
        raise ManifestError(f"{source}: no image there. Name a place with PNG, JPEG, TIFF or DICOM files.")
    write_summary(summary, out)
    return summary


def _score(listing: Listing, parts: Parts, predictor: Predictor, settings: Settings) -> Work:
    with closing(DiskSet()) as seen:
        done = sum(seen.add(os.fsencode(name)) and parts.shard.holds(name) for name in parts.done())
        items = _pending(listing, settings.shard, seen if parts.all() or listing.repeats else None)
        if settings.engine == "local":
            size = predictor.card.size
            # A whole batch, so that what the runtime sets up for one is part of loading too.
            predictor.predict(np.zeros((BATCH, size, size), np.uint8), heatmaps=False, cores=1)
        n, started = 0, time.perf_counter()
        with Bar("Scoring", None) as bar:
            _count_aside(listing, settings.shard, done, bar)
            for rows in _engine(predictor, settings).score(items):
                parts.add(rows)
                n += len(rows)
                bar.advance(len(rows))
        return Work(n, time.perf_counter() - started, str(predictor.engine))


def _engine(predictor: Predictor, settings: Settings) -> Engine:
    if settings.engine == "local":
        return LocalEngine(predictor, settings.operating_point)
    from lungscope.scoring.engine_ray import RayEngine

    return RayEngine(predictor, settings.operating_point, workers=settings.workers, address=settings.address)


def _pending(listing: Listing, shard: Shard, seen: DiskSet | None) -> Iterator[Item]:
    for item in listing:
        if shard.holds(item.name) and (seen is None or seen.add(os.fsencode(item.name))):
            yield item


def _count_aside(listing: Listing, shard: Shard, done: int, bar: Bar) -> None:
    """Find out beside the work how much there is; not where every listing costs requests."""
    if listing.remote:
        return

    def count() -> None:
        try:
            total = sum(shard.holds(item.name) for item in listing)
        except LungscopeError:  # the work itself meets it too, and reports it
            return
        bar.total = max(total - done, 0)

    threading.Thread(target=count, daemon=True).start()
