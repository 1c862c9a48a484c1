"""Array work on many rows, a block at a time on all cores, in bounded memory and always in the same order."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from lungscope.system.progress import Bar

BLOCK = 128
"""Rows at a time; few enough to stay in the processor's cache."""

T = TypeVar("T")


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
    blocks = [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
    done = []
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(_cores()) as pool, Bar(label, n, unit) as bar:
        try:
            for block, result in zip(blocks, pool.map(work, blocks), strict=True):
                done.append(result)
                bar.advance(block.stop - block.start)
        finally:
            pool.shutdown(cancel_futures=True)
    return done


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
