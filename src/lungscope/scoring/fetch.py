"""Files on their way to the decoder: transferred from object stores, or named where they lie."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from lungscope.scoring.listing import Item
from lungscope.scoring.object_store import Store, is_url, open_store

TRANSFERS = 16
"""At a time; they wait for the network rather than for a core."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that the decoder can read."""

    item: Item
    content: Path | bytes = b""
    error: str = ""
    milliseconds: float | None = None
    """None for a file of this machine, which the decoder reads itself."""


class Fetcher:
    """Transfers files of object stores; files of this machine pass."""

    def __init__(self) -> None:
        self._stores: dict[str, Store] = {}
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(TRANSFERS)

    def ask_for(self, item: Item) -> Callable[[], Fetched]:
        """Begin to transfer a file; what is returned waits for it. A failure is in it."""
        if item.error or not is_url(item.place):
            return lambda: Fetched(item, Path(item.place), item.error)
        return self._pool.submit(self._transfer, item).result

    def close(self) -> None:
        """Begin no further transfer."""
        self._pool.shutdown(cancel_futures=True)

    def _transfer(self, item: Item) -> Fetched:
        started = time.perf_counter()
        try:
            content = self._store(item.place).read(item.place, item.n_bytes)
        except Exception as error:  # of the store's own kinds
            return Fetched(item, error=str(error), milliseconds=since(started))
        return Fetched(item, content, milliseconds=since(started))

    def _store(self, url: str) -> Store:
        protocol = url.partition("://")[0]
        with self._lock:
            if protocol not in self._stores:
                self._stores[protocol] = open_store(url)
            return self._stores[protocol]


def since(started: float) -> float:
    """Milliseconds from `time.perf_counter()` then to now."""
    return (time.perf_counter() - started) * 1000
