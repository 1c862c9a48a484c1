"""Is one classifier better than another on the same cases? DeLong, McNemar, several seeds, Holm."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.stats.columns import as_binary, numbers, same_rows
from lungscope.stats.estimate import Array, Estimate
from lungscope.stats.patients import Patients, index_of_rows
from lungscope.stats.proportion import FEW_PATIENTS, Z95
from lungscope.stats.resampling import share_interval

EXACT_BELOW = 25
"""Discordant patients below which McNemar's test is exact."""


@dataclass(frozen=True)
class DeLong:
    """Two correlated AUROCs; `low` and `high` are the 95 % interval of a - b."""

    auroc_a: float
    auroc_b: float
    difference: float
    low: float
    high: float
    p_value: float
    """Two-sided."""


@dataclass(frozen=True)
class McNemar:
    """Cases that only one of two classifiers gets right."""

    only_a: int
    only_b: int
    difference: float
    """Accuracy of a minus accuracy of b."""
    p_value: float
    """Two-sided."""
    exact: bool


def delong(positive: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, patients: Patients | None = None) -> DeLong:
    """Compare the AUROCs of two scores of the same cases.

    DeLong, DeLong & Clarke-Pearson 1988, by sorting as in Sun & Xu 2014; with patients the variance is
    that of clustered data (Obuchowski 1997), which is DeLong's when every row is its own patient.

    Args:
        positive: (N,), true or 1 where diseased.
        scores_a: (N,).
        scores_b: (N,).
        patients: (N,), whose each row is; without it all rows are independent.

    Raises:
        UndefinedEstimate: fewer than two patients of a class, or the scores show no spread at all.
    """
    truth = as_binary(positive)
    area_a, influence_a = _auroc_influence(truth, scores_a)
    area_b, influence_b = _auroc_influence(truth, scores_b)
    difference = area_a - area_b
    error = sqrt(_variance(influence_a - influence_b, truth, patients))
    if error == 0 and difference != 0:
        raise UndefinedEstimate("the two AUROCs differ but neither varies over these cases: too few to compare")
    p_value = 1.0 if error == 0 else 2 * float(ndtr(-abs(difference) / error))
    return DeLong(area_a, area_b, difference, difference - Z95 * error, difference + Z95 * error, p_value)


def auroc_estimate(positive: ArrayLike, scores: ArrayLike, patients: Patients | None = None) -> Estimate:
    """AUROC with DeLong's variance and a Student interval on the log-odds scale; arguments as in `delong`.

    On the plain scale the interval of a high AUROC misses the truth up to one time in seven (Newcombe 2006;
    `benchmarks/coverage.py`). An undefined AUROC, or an interval that the data cannot give, is None with the
    reason.
    """
    truth = as_binary(positive)
    try:
        area, influence = _auroc_influence(truth, scores)
    except UndefinedEstimate as error:
        return Estimate(None, reason=str(error))
    index = index_of_rows(patients, truth)
    try:
        if np.unique(index).size < FEW_PATIENTS:
            raise UndefinedEstimate(f"fewer than {FEW_PATIENTS} patients")
        deviation = sqrt(_variance(influence, truth, index))
        if deviation == 0:
            raise UndefinedEstimate("the AUROC does not vary over these cases, so its spread is unknown")
    except UndefinedEstimate as error:
        return Estimate(area, reason=f"no interval: {error}")
    fewest = min(np.unique(index[side]).size for side in (truth, ~truth))
    return Estimate(area, *share_interval(area, deviation, fewest - 1))


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike, patients: Patients | None = None) -> McNemar:
    """Compare the accuracy of two classifiers on the same cases (McNemar 1947).

    Exact with fewer than 25 discordant patients, else by the chi-squared distribution without continuity
    correction. With patients the unit is the patient's surplus of right calls (Obuchowski 1998); when
    every row is its own patient this is McNemar's own test.

    Args:
        correct_a: (N,), true or 1 where classifier a is right.
        correct_b: (N,).
        patients: (N,), whose each row is; without it all rows are independent.
    """
    a, b = as_binary(correct_a), as_binary(correct_b)
    same_rows(a, b)
    index = index_of_rows(patients, a)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    surplus = np.bincount(index, weights=a.astype(np.float64) - b).astype(np.int64)
    surplus = surplus[surplus != 0]
    exact = surplus.size < EXACT_BELOW
    p_value = _sign_flip(surplus) if exact else 2 * float(ndtr(-abs(surplus.sum()) / sqrt((surplus**2).sum())))
    return McNemar(only_a, only_b, (only_a - only_b) / max(a.size, 1), p_value, exact)


def holm(p_values: ArrayLike) -> Array:
    """Adjust p-values for the number of tests (Holm 1979).

    Args:
        p_values: (M,), 0..1.

    Returns:
        (M,), in the same order; each may be held against the level for the whole family.

    Raises:
        DataError: a value is outside 0..1.
    """
    given = np.asarray(p_values, np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise DataError("Holm's adjustment needs p-values from 0 to 1. Leave out comparisons that are undefined.")
    order = np.argsort(given)
    stepped = np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def twice_median(p_values: ArrayLike) -> float:
    """One p-value of several tests of the same hypothesis, however they depend on each other.

    Twice the median is valid under any dependence (Meinshausen, Meier & Bühlmann 2009), such as that of
    training runs measured on the same cases. A single value is returned as it is.

    Args:
        p_values: (M,), 0..1, M at least 1.
    """
    given = np.asarray(p_values, np.float64)
    return float(given[0]) if given.size == 1 else min(1.0, 2 * float(np.median(given)))


def _auroc_influence(truth: NDArray[np.bool_], scores: ArrayLike) -> tuple[float, Array]:
    """The AUROC, and how much each case moves it (DeLong's structural components, centred and scaled)."""
    values = numbers(scores, "scores")
    same_rows(truth, values)
    m, n = int(truth.sum()), int((~truth).sum())
    if not m or not n:
        raise UndefinedEstimate(f"no {'negative' if m else 'positive'} case among {truth.size}")
    diseased, healthy = values[truth], values[~truth]
    beats = _rank_below(diseased, healthy)
    area = float(beats.sum() / (m * n))
    influence = np.empty(truth.size)
    influence[truth] = (beats / n - area) / m
    influence[~truth] = (1 - _rank_below(healthy, diseased) / m - area) / n
    return area, influence


def _rank_below(values: Array, others: Array) -> Array:
    """How many of the others lie below each value, ties counting half."""
    rising = np.sort(others)
    return (np.searchsorted(rising, values, "left") + np.searchsorted(rising, values, "right")) / 2


def _variance(influence: Array, truth: NDArray[np.bool_], patients: Patients | None) -> float:
    index = index_of_rows(patients, truth)
    diseased = np.bincount(index, weights=influence * truth)
    healthy = np.bincount(index, weights=influence * ~truth)
    n_diseased, n_healthy = (np.unique(index[side]).size for side in (truth, ~truth))
    if min(n_diseased, n_healthy) < 2:
        raise UndefinedEstimate("fewer than two patients of a class: the spread is unknown")
    small_sample = [n / (n - 1) for n in (n_diseased, n_healthy, diseased.size)]
    variance = float(np.dot(small_sample, [diseased @ diseased, healthy @ healthy, 2 * (diseased @ healthy)]))
    # Rounding of equal components leaves about 1e-33 of what is zero.
    return variance if variance > 1e-24 else 0.0


def _sign_flip(surplus: NDArray[np.int64]) -> float:
    """P(|sum| at least as large as seen) when each patient's surplus might as well have the other sign."""
    chance = np.ones(1)
    for size in np.abs(surplus):
        step = np.zeros(2 * int(size) + 1)
        step[[0, -1]] = 0.5
        chance = np.convolve(chance, step)
    sums = np.arange(chance.size) - chance.size // 2
    return min(1.0, float(chance[np.abs(sums) >= abs(int(surplus.sum()))].sum()))
