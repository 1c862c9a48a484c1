"""Work on all cores, in bounded memory and always in the same order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

BLOCK = 128
"""Rows at a time; few enough to stay in the processor's cache."""

S = TypeVar("S")
T = TypeVar("T")


def cores() -> int:
    """Processors this process may use, which a container can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(work: Callable[[S], T], items: Iterable[S], threads: int) -> Iterator[T]:
    """What `work` makes of each item, in their order, while the next ones are worked on.

    Args:
        work: called from several threads.
        items: taken as they are needed, so that there may be any number.
        threads: how many items are worked on at a time; twice as many more wait to be asked for.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def blockwise(work: Callable[[slice], T], n: int, label: str, unit: str = "images") -> list[T]:
    """What `work` makes of each block of `n` rows, in their order.

    NumPy lets go of the interpreter, so threads help. BLAS is kept to one thread meanwhile: its own threads would
    wait for each other, which on a busy machine takes several times as long.

    Args:
        work: called with the slice of each block, from several threads.
        n: rows.
        label: of the progress.
        unit: what a row is.
    """
    # Not on the way to a prediction, which takes `in_order`.
    from threadpoolctl import threadpool_limits

    from lungscope.system.progress import Bar

    blocks = [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
    done = []
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool, Bar(label, n, unit) as bar:
        try:
            for block, result in zip(blocks, pool.map(work, blocks), strict=True):
                done.append(result)
                bar.advance(block.stop - block.start)
        finally:
            pool.shutdown(cancel_futures=True)
    return done
