"""Scan statistic: runs of consecutive cases whose values are lower than chance explains (Naus 1965, Kulldorff 1997)."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

SHORTEST = 10
"""Cases below which a run is not looked for."""
PERMUTATIONS = 999


@dataclass(frozen=True)
class Run:
    """Consecutive cases, but for those that an earlier find took out of their middle."""

    cases: NDArray[np.int64]
    """Their positions."""
    depth: float
    """How far its mean lies below that of all cases, in standard deviations of ranks turned to normal scores."""
    p: float
    """How often a run as low is found somewhere when the same values stand in any order."""


def low_runs(
    values: NDArray[np.float64], *, level: float = 0.01, depth: float = 0.0, shortest: int = SHORTEST, seed: int = 0
) -> tuple[Run, ...]:
    """Find runs of low values, the lowest first; each was looked for in what the former ones left.

    Only ranks count, so one extreme value makes no run. Runs of at most a quarter of all cases are looked for.

    Args:
        values: (N,), in the order of the cases.
        level: p above which a run is chance.
        depth: see `Run`; runs that are less deep are passed over.
        shortest: cases of the shortest run.
        seed: of the permutations.
    """
    found: list[Run] = []
    left = np.arange(len(values))
    while run := _lowest(values[left], shortest, seed):
        if run.p > level:
            break
        if run.depth >= depth:
            found.append(replace(run, cases=left[run.cases]))
        left = np.delete(left, run.cases)
    return tuple(found)


def _lowest(values: NDArray[np.float64], shortest: int, seed: int) -> Run | None:
    n = len(values)
    lengths = np.arange(shortest, n // 4 + 1)
    if not len(lengths):
        return None
    scores = norm.ppf((rankdata(values) - 0.5) / n)
    lowest, first, length = _scan(scores, lengths)
    rng = np.random.default_rng(seed)
    chance = [_scan(rng.permutation(scores), lengths)[0] for _ in range(PERMUTATIONS)]
    p = (1 + np.sum(np.array(chance) <= lowest)) / (1 + PERMUTATIONS)
    cases = np.arange(first, first + length)
    return Run(cases, -float(scores[cases].mean()), float(p))


def _scan(scores: NDArray[np.float64], lengths: NDArray[np.int64]) -> tuple[float, int, int]:
    """The lowest standardised sum of a run, its first case and its length."""
    n, sums = len(scores), np.concatenate(([0.0], np.cumsum(scores - scores.mean())))
    best = (np.inf, 0, 0)
    for length in lengths:
        run = sums[length:] - sums[:-length]
        first = int(np.argmin(run))
        value = float(run[first]) / np.sqrt(length * (1 - length / n))
        if value < best[0]:
            best = (value, first, int(length))
    return best
