"""Scoring on this machine: every core decodes and predicts micro-batches of its own, so that none waits."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock

from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.errors import DataError
from lungscope.inference.predictor import BATCH, Predictor
from lungscope.inference.result import ImageResult
from lungscope.scoring.listing import Item
from lungscope.scoring.object_store import Store, is_url, open_store
from lungscope.scoring.parquet import Row

REMOTE_BATCH = 8
"""Files of an object store in one micro-batch: they wait in memory, and a DICOM file has ten megabytes."""
FETCHERS = 16
"""Transfers at a time, which wait for the network rather than for a core."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on its way to the decoder."""

    item: Item
    content: Path | bytes = b""
    error: str = ""
    milliseconds: float | None = None
    """None for a file of this machine, which the decoder reads itself."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    fetched: Fetched
    image: Radiograph | None
    error: str
    milliseconds: float | None


class Scorer:
    """Files → rows with one model; safe to call from many threads."""

    def __init__(self, predictor: Predictor, operating_point: str | None = None) -> None:
        self.predictor, self._point = predictor, operating_point

    def score(self, files: Sequence[Fetched]) -> list[Row]:
        """One row per file, on the calling thread; what cannot be read is a row with its reason."""
        decoded = [self._decode(file) for file in files]
        images = [one.image for one in decoded if one.image is not None]
        started = time.perf_counter()
        results = iter(self.predictor.assess(images, operating_point=self._point, cores=1))
        share = _since(started) / max(len(images), 1)
        return [_failed(one) if one.image is None else _row(one, next(results), share) for one in decoded]

    def _decode(self, file: Fetched) -> _Decoded:
        if file.error:
            return _Decoded(file, None, file.error, None)
        started = time.perf_counter()
        try:
            image = read_radiograph(file.content, size=self.predictor.card.size)
        except DataError as error:
            return _Decoded(file, None, _reason(error, file), _since(started))
        except (
            Exception
        ) as error:  # among millions of files, one that no decoder foresaw must not end the run
            reason = f"the decoder failed ({type(error).__name__}). Report this, with the file if you may."
            return _Decoded(file, None, reason, _since(started))
        return _Decoded(file, image, "", _since(started))


class Fetcher:
    """Transfers files of object stores; files of this machine pass."""

    def __init__(self) -> None:
        self._stores: dict[str, Store] = {}
        self._lock = Lock()

    def fetch(self, item: Item) -> Fetched:
        """One file; a failure is in it."""
        if item.error:
            return Fetched(item, error=item.error)
        if not is_url(item.place):
            return Fetched(item, Path(item.place))
        started = time.perf_counter()
        try:
            content = self._store(item.place).read(item.place, item.n_bytes)
        except Exception as error:  # of the store's own kinds
            return Fetched(item, error=str(error), milliseconds=_since(started))
        return Fetched(item, content, milliseconds=_since(started))

    def _store(self, url: str) -> Store:
        protocol = url.partition("://")[0]
        with self._lock:
            if protocol not in self._stores:
                self._stores[protocol] = open_store(url)
            return self._stores[protocol]


def score_locally(items: Iterable[Item], scorer: Scorer) -> Iterator[list[Row]]:
    """Rows in the order of `items`, a micro-batch at a time, in bounded memory."""
    threads, fetcher = scorer.predictor.threads, Fetcher()
    waiting: deque[Future[list[Row]]] = deque()
    workers, fetchers = ThreadPoolExecutor(threads), ThreadPoolExecutor(FETCHERS)
    try:
        for batch in _micro_batches(items, fetcher, fetchers):
            waiting.append(workers.submit(_score, scorer, batch))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        workers.shutdown(cancel_futures=True)
        fetchers.shutdown(cancel_futures=True)


def _score(scorer: Scorer, batch: Sequence[Callable[[], Fetched]]) -> list[Row]:
    return scorer.score([arrived() for arrived in batch])


def _micro_batches(
    items: Iterable[Item], fetcher: Fetcher, pool: ThreadPoolExecutor
) -> Iterator[list[Callable[[], Fetched]]]:
    source = iter(items)
    while first := next(source, None):
        size = REMOTE_BATCH if is_url(first.place) else BATCH
        yield [_on_its_way(item, fetcher, pool) for item in (first, *islice(source, size - 1))]


def _on_its_way(item: Item, fetcher: Fetcher, pool: ThreadPoolExecutor) -> Callable[[], Fetched]:
    if is_url(item.place):
        return pool.submit(fetcher.fetch, item).result
    return lambda: fetcher.fetch(item)


def _row(one: _Decoded, result: ImageResult, share: float) -> Row:
    return Row(
        path=one.fetched.item.name,
        probabilities=result.probabilities,
        finding=result.finding,
        p_abnormal=result.p_abnormal,
        not_assessed=result.not_assessed or None,
        distance=result.distance,
        notes="; ".join(result.notes) or None,
        fetch_ms=one.fetched.milliseconds,
        decode_ms=one.milliseconds,
        infer_ms=share,
    )


def _failed(one: _Decoded) -> Row:
    file = one.fetched
    return Row(file.item.name, error=one.error, fetch_ms=file.milliseconds, decode_ms=one.milliseconds)


def _reason(error: DataError, file: Fetched) -> str:
    # The path has its own column.
    message = str(error).removeprefix("the image: ")
    for name in (str(file.content), ascii(str(file.content))) if isinstance(file.content, Path) else ():
        message = message.removeprefix(f"{name}: ")
    return os.fsencode(message).decode(errors="backslashreplace")


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
