"""Scoring on this machine: every core decodes and assesses micro-batches of its own, so that none waits."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.errors import DataError
from lungscope.inference.predictor import BATCH, Predictor
from lungscope.inference.result import ImageResult
from lungscope.scoring.fetch import Fetched, Fetcher, since
from lungscope.scoring.listing import Item
from lungscope.scoring.object_store import is_url
from lungscope.scoring.parquet import Row
from lungscope.system.parallel import in_order

REMOTE_BATCH = 8
"""Files of an object store in one micro-batch: they wait in memory, and a DICOM file has ten megabytes."""

Arriving = Callable[[], Fetched]
"""Waits for a file that was asked for."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    fetched: Fetched
    image: Radiograph | None
    error: str
    milliseconds: float | None


class LocalEngine:
    """Scores files with one model."""

    def __init__(self, predictor: Predictor, operating_point: str | None = None) -> None:
        """See `Predictor.assess` for the operating point."""
        self._predictor, self._point = predictor, operating_point

    def score(self, items: Iterable[Item]) -> Iterator[list[Row]]:
        """Rows in the order of `items`, a micro-batch at a time, in bounded memory."""
        with closing(Fetcher()) as fetcher:
            yield from in_order(self._rows, _micro_batches(items, fetcher), self._predictor.threads)

    def _rows(self, files: Sequence[Arriving]) -> list[Row]:
        """One row per file, on the calling thread; what cannot be read is a row with its reason."""
        decoded = [self._decode(arrived()) for arrived in files]
        images = [one.image for one in decoded if one.image is not None]
        started = time.perf_counter()
        results = iter(self._predictor.assess(images, operating_point=self._point, cores=1))
        share = since(started) / max(len(images), 1)
        return [_row(one, None if one.image is None else next(results), share) for one in decoded]

    def _decode(self, file: Fetched) -> _Decoded:
        if file.error:
            return _Decoded(file, None, file.error, None)
        started = time.perf_counter()
        try:
            image = read_radiograph(file.content, size=self._predictor.card.size)
        except DataError as error:
            return _Decoded(file, None, _reason(error, file), since(started))
        except Exception as error:  # among millions of files, one that no decoder foresaw must not end the run
            reason = f"the decoder failed ({type(error).__name__}). Report this, with the file if you may."
            return _Decoded(file, None, reason, since(started))
        return _Decoded(file, image, "", since(started))


def _micro_batches(items: Iterable[Item], fetcher: Fetcher) -> Iterator[list[Arriving]]:
    source = iter(items)
    while first := next(source, None):
        size = REMOTE_BATCH if is_url(first.place) else BATCH
        yield [fetcher.ask_for(item) for item in (first, *islice(source, size - 1))]


def _row(one: _Decoded, result: ImageResult | None, share: float) -> Row:
    name, fetch_ms, decode_ms = one.fetched.item.name, one.fetched.milliseconds, one.milliseconds
    if result is None:
        return Row(name, error=one.error, fetch_ms=fetch_ms, decode_ms=decode_ms)
    return Row(
        path=name,
        probabilities=result.probabilities,
        finding=result.finding,
        p_abnormal=result.p_abnormal,
        not_assessed=result.not_assessed or None,
        distance=result.distance,
        notes="; ".join(result.notes) or None,
        fetch_ms=fetch_ms,
        decode_ms=decode_ms,
        infer_ms=share,
    )


def _reason(error: DataError, file: Fetched) -> str:
    # The path has its own column.
    message = str(error).removeprefix("the image: ")
    for name in (str(file.content), ascii(str(file.content))) if isinstance(file.content, Path) else ():
        message = message.removeprefix(f"{name}: ")
    return os.fsencode(message).decode(errors="backslashreplace")
