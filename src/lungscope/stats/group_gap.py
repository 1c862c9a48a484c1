"""Do groups differ? The largest gap between two of several independent estimates, and a test of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from scipy.special import chdtrc

from lungscope.stats.estimate import Estimate
from lungscope.stats.proportion import Z95


@dataclass(frozen=True)
class Gap:
    """The highest estimate minus the lowest."""

    highest: int
    lowest: int
    """Which of the estimates."""
    difference: Estimate
    p_value: float
    """That all are equal; unlike the interval of the largest gap it knows how many were compared."""


def largest_gap(estimates: Sequence[Estimate]) -> Gap | None:
    """Compare independent estimates; None when fewer than two have an interval.

    The interval of the difference combines those of its two estimates (MOVER, Zou & Donner 2008), the test is
    Cochran's Q with standard errors from the intervals' widths.

    Args:
        estimates: one per group; those without an interval are left out.
    """
    known = [
        (i, each.value, each.low, each.high)
        for i, each in enumerate(estimates)
        if each.value is not None and each.low is not None and each.high is not None and each.high > each.low
    ]
    if len(known) < 2:
        return None
    highest, lowest = max(known, key=lambda each: each[1]), min(known, key=lambda each: each[1])
    difference = highest[1] - lowest[1]
    low = difference - sqrt((highest[1] - highest[2]) ** 2 + (lowest[3] - lowest[1]) ** 2)
    high = difference + sqrt((highest[3] - highest[1]) ** 2 + (lowest[1] - lowest[2]) ** 2)
    weights = [(2 * Z95 / (high_end - low_end)) ** 2 for _, _, low_end, high_end in known]
    centre = sum(w * each[1] for w, each in zip(weights, known, strict=True)) / sum(weights)
    q = sum(w * (each[1] - centre) ** 2 for w, each in zip(weights, known, strict=True))
    return Gap(highest[0], lowest[0], Estimate(difference, low, high), float(chdtrc(len(known) - 1, q)))
