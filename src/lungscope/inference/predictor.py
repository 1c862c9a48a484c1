"""The entry point to a model: radiographs in, calibrated predictions out. Every other entry point goes through it."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle
from lungscope.bundle.card import Card
from lungscope.bundle.export_record import export_engine
from lungscope.bundle.input_check import INPUT_CHECK_OUTPUTS, rejection_reason
from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.errors import DataError
from lungscope.inference.predictions import Predictions
from lungscope.inference.result import Decision, ImageResult
from lungscope.runtime.engine import Engine, choose_engine, usable_cores
from lungscope.runtime.session import Session, open_session
from lungscope.system.parallel import in_order

BATCH = 16
S = TypeVar("S", NDArray[np.uint8], Sequence[Radiograph])
T = TypeVar("T")
_FIELDS = {
    "probabilities": "probabilities", "logits": "logits", "heatmap": "heatmaps", "embedding": "embeddings",
    "distance": "distances", "checks": "checks",
}  # fmt: skip
"""Field of `Predictions` by output of the graph."""


@dataclass(frozen=True)
class _Asked:
    """What results are to hold; see `Predictor.assess`."""

    operating_point: str | None = None
    heatmaps: bool = False
    embeddings: bool = False
    error_rate: float | None = None
    coverage: float | None = None


class Predictor:
    """Runs one bundle on this machine; safe to call from several threads.

    Two sessions are opened when first needed: one that uses every core for a single image, and one that
    uses a single core and is run once per core, which is faster for many images.
    """

    def __init__(
        self, bundle: Bundle, *, runtime: str = "auto", precision: str = "auto", threads: int | None = None
    ) -> None:
        """Choose the engine; the graph is loaded at the first prediction."""
        self.bundle, self.card = bundle, bundle.card
        self.engine = _engine(bundle.card, runtime, precision)
        self.threads = threads or usable_cores()
        self._sessions: dict[int, Session] = {}
        self._lock = threading.Lock()

    def predict(
        self, pixels: NDArray[np.uint8], *, heatmaps: bool = True, embeddings: bool = False, cores: int | None = None
    ) -> Predictions:
        """Predict images that are in memory.

        Args:
            pixels: uint8 (N, S, S) of the bundle's size, as `read_radiograph(..., size=S)` returns them.
            heatmaps: whether to keep the heat maps.
            embeddings: whether to keep the embeddings.
            cores: processors this call may use; all by default, one beside others that predict too.
        """
        names = self._names(heatmaps, embeddings)
        return Predictions.join(
            self._in_batches(lambda chunk, threads: self._run(chunk, names, threads), pixels, cores)
        )

    def assess(
        self,
        images: Sequence[Radiograph],
        *,
        operating_point: str | None = None,
        heatmaps: bool = False,
        embeddings: bool = False,
        error_rate: float | None = None,
        coverage: float | None = None,
        cores: int | None = None,
    ) -> list[ImageResult]:
        """Turn images into findings: the one way to a finding, wherever the images come from.

        A result depends on its image and on what is asked, not on the images beside it.

        Args:
            images: N of them, read at the size of the bundle: `read_radiograph(source, size=card.size)`.
            operating_point: a name or a goal, as `Card.operating_point` takes them; by default the first.
            heatmaps: whether results hold heat maps.
            embeddings: whether results hold embeddings.
            error_rate: of prediction sets; results hold none without it.
            coverage: one of the levels of the input check; by default its own.
            cores: processors this call may use; all by default, one beside others that predict too.

        Returns:
            N results, in order.

        Raises:
            BundleError: no such operating point, or the bundle cannot make prediction sets.
            ConfigError: a goal, error rate or coverage that the bundle does not keep.
        """
        asked = _Asked(operating_point, heatmaps, embeddings, error_rate, coverage)
        self._refuse(asked)
        parts = self._in_batches(lambda chunk, threads: self._assess(chunk, asked, threads), images, cores)
        return list(itertools.chain.from_iterable(parts))

    def assess_files(
        self,
        paths: Iterable[Path],
        *,
        operating_point: str | None = None,
        heatmaps: bool = False,
        embeddings: bool = False,
        error_rate: float | None = None,
        coverage: float | None = None,
    ) -> Iterator[ImageResult]:
        """Read and assess files, in their order, with bounded memory; a bad file is a result with an error.

        Every core reads and assesses batches of its own, so that none waits for another. Options are those of
        `assess`, which refuses what the bundle cannot serve before any file is read.
        """
        asked = _Asked(operating_point, heatmaps, embeddings, error_rate, coverage)
        self._refuse(asked)
        source = iter(paths)
        first = list(itertools.islice(source, BATCH + 1))
        if len(first) <= self.threads:
            yield from self._assess_files(first, asked, self.threads)
            return
        batches = itertools.chain([first], iter(lambda: list(itertools.islice(source, BATCH)), []))
        for results in in_order(lambda batch: self._assess_files(batch, asked, 1), batches, self.threads):
            yield from results

    def rejection_reasons(
        self, images: Sequence[Radiograph], found: Predictions, coverage: float | None = None
    ) -> tuple[str, ...]:
        """Why each image is not to be assessed, in plain words; empty where it is.

        A model without an input check assesses whatever can be read. `found` is what `predict` gave for these images.
        """
        check = self.card.input_check
        if check is None or found.distances is None:
            return ("",) * len(images)
        reasons = check.reasons(found.distances, found.checks, coverage)
        return tuple(
            rejection_reason(image, self.card.size) or reason for image, reason in zip(images, reasons, strict=True)
        )

    def _in_batches(self, work: Callable[[S, int], T], images: S, cores: int | None) -> list[T]:
        """Work on images in one run of the graph where they are few, else in batches, one on each core."""
        cores, n = cores or self.threads, len(images)
        if n <= cores or (cores == 1 and n <= BATCH):
            return [work(images, cores)]
        chunks = [images[start : start + BATCH] for start in range(0, n, BATCH)]
        return list(in_order(lambda chunk: work(chunk, 1), chunks, cores))

    def _refuse(self, asked: _Asked) -> None:
        """Refuse, before any work, what the bundle cannot serve."""
        if self.card.operating_points or asked.operating_point:
            self.card.operating_point(asked.operating_point)
        if asked.error_rate is not None:
            self.card.prediction_sets.at(asked.error_rate)
        if asked.coverage is not None and self.card.input_check:
            self.card.input_check.limit(asked.coverage)

    def _assess(self, images: Sequence[Radiograph], asked: _Asked, threads: int) -> list[ImageResult]:
        """Assess images in one run of the graph."""
        if not images:
            return []
        pixels = np.stack([image.pixels for image in images])
        found = self._run(pixels, self._names(asked.heatmaps, asked.embeddings), threads)
        reasons = self.rejection_reasons(images, found, asked.coverage)
        sets = self._prediction_sets(found, asked.error_rate)
        decisions = self._decide(found.probabilities, asked.operating_point)
        return [
            ImageResult(
                probabilities=tuple(found.probabilities[i].tolist()),
                logits=tuple(found.logits[i].tolist()),
                decision=decisions[i],
                notes=image.notes,
                not_assessed=reasons[i],
                distance=None if found.distances is None else float(found.distances[i]),
                prediction_set=sets[i],
                heatmaps=None if found.heatmaps is None else found.heatmaps[i],
                embedding=None if found.embeddings is None else found.embeddings[i],
                checks=None if found.checks is None else found.checks[i],
            )
            for i, image in enumerate(images)
        ]

    def _assess_files(self, paths: Sequence[Path], asked: _Asked, threads: int) -> list[ImageResult]:
        images = [self._open(path) for path in paths]
        assessed = iter(self._assess([image for image in images if isinstance(image, Radiograph)], asked, threads))
        return [
            replace(next(assessed), source=path) if isinstance(image, Radiograph) else ImageResult(path, error=image)
            for path, image in zip(paths, images, strict=True)
        ]

    def _open(self, path: Path) -> Radiograph | str:
        try:
            return read_radiograph(path, size=self.card.size)
        except DataError as error:
            return str(error)

    def _decide(self, probabilities: NDArray[np.float32], name: str | None) -> list[Decision]:
        """Decisions for probabilities (N, K) at an operating point, or for the likeliest class without one."""
        classes, abnormal = self.card.classes, self.card.p_abnormal(probabilities)
        likeliest = probabilities.argmax(1)
        values = [None] * len(probabilities) if abnormal is None else abnormal.tolist()
        if abnormal is None or not self.card.operating_points:
            return [Decision(classes[k], value) for k, value in zip(likeliest, values, strict=True)]
        point = self.card.operating_point(name)
        found = np.where(point.is_positive(abnormal), 1 + probabilities[:, 1:].argmax(1), 0)
        return [
            Decision(classes[k], value, point.name, point.threshold) for k, value in zip(found, values, strict=True)
        ]

    def _prediction_sets(self, found: Predictions, error_rate: float | None) -> Sequence[tuple[str, ...] | None]:
        if error_rate is None:
            return [None] * len(found.probabilities)
        kept = self.card.prediction_sets.sets(found.probabilities, error_rate)
        return [tuple(name for name, inside in zip(self.card.classes, row, strict=True) if inside) for row in kept]

    def _names(self, heatmaps: bool, embeddings: bool) -> list[str]:
        """Outputs of the graph that are computed."""
        wanted = ["probabilities", "logits", *["heatmap"] * heatmaps, *["embedding"] * embeddings]
        return [*wanted, *(INPUT_CHECK_OUTPUTS if self.card.input_check else ())]

    def _run(self, pixels: NDArray[np.uint8], names: list[str], threads: int) -> Predictions:
        columns = self._session(threads).run([np.ascontiguousarray(pixels)], names)
        return Predictions(**{_FIELDS[name]: column for name, column in zip(names, columns, strict=True)})

    def _session(self, threads: int) -> Session:
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = open_session(
                    self.bundle.graph, self.engine, threads=threads, weights=self.bundle.weights
                )
            return self._sessions[threads]


def _engine(card: Card, runtime: str, precision: str) -> Engine:
    if card.export:
        return export_engine(card.export, runtime, precision)
    bf16 = any(record.engine.endswith("bf16") for record in card.parity)
    return choose_engine(runtime, precision, bf16_allowed=bf16)
