"""What the plots of an evaluation are drawn from: ROC with its band, precision-recall, reliability, scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.errors import UndefinedEstimate
from lungscope.stats.calibration import ReliabilityCurve, reliability_curve
from lungscope.stats.estimate import Array
from lungscope.stats.metrics import PrecisionRecallCurve, Ranked, RocCurve, precision_recall_curve, roc_curve
from lungscope.stats.patients import Patients, count_patients
from lungscope.stats.proportion import FEW_PATIENTS
from lungscope.stats.resampling import RESAMPLES, bootstrap_weights, interval

BINS = 20


@dataclass(frozen=True)
class RocBand:
    """Pointwise 95 % interval of sensitivity at given false-positive rates."""

    false_positive_rate: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Histogram:
    """Cases per class and bin of a score from 0 to 1."""

    edges: Array
    """(bins + 1,)."""
    counts: NDArray[np.int64]
    """(K, bins)."""


@dataclass(frozen=True)
class Curves:
    """Curves of one score; None where these data give none, for the `reason`."""

    roc: RocCurve | None
    band: RocBand | None
    precision_recall: PrecisionRecallCurve | None
    reliability: ReliabilityCurve
    histogram: Histogram
    reason: str = ""


def trace(
    positive: NDArray[np.bool_],
    scores: Array,
    labels: NDArray[np.int64],
    patients: Patients,
    n_classes: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curves:
    """Trace every curve of a score.

    Args:
        positive: (N,), true where diseased.
        scores: (N,), probability of disease.
        labels: (N,), class indices, for the histogram.
        patients: (N,), drawn with replacement for the band.
        n_classes: K.
        resamples: number of draws.
        seed: of the draws.
    """
    reliability, histogram = reliability_curve(positive, scores), _histogram(labels, scores, n_classes)
    try:
        require_spread(scores)
        roc, recall = roc_curve(positive, scores), precision_recall_curve(positive, scores)
    except UndefinedEstimate as error:
        return Curves(None, None, None, reliability, histogram, str(error))
    try:
        band = roc_band(positive, scores, patients, resamples=resamples, seed=seed)
    except UndefinedEstimate:
        band = None
    return Curves(roc, band, recall, reliability, histogram)


def require_spread(scores: NDArray[Any]) -> None:
    """Refuse a score that cannot rank: every curve of it would be the diagonal and say nothing.

    Raises:
        UndefinedEstimate: all scores are equal.
    """
    if scores.min() == scores.max():
        raise UndefinedEstimate("every case has the same score")


def roc_band(
    positive: NDArray[np.bool_],
    scores: Array,
    patients: Patients,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    points: int = 101,
) -> RocBand:
    """Interval of sensitivity at fixed false-positive rates, by drawing patients with replacement.

    Args:
        positive: (N,), true where diseased.
        scores: (N,).
        patients: (N,).
        resamples: number of draws.
        seed: of the draws.
        points: false-positive rates from 0 to 1.

    Raises:
        UndefinedEstimate: one class is empty, or there are too few patients for an interval.
    """
    if count_patients(patients) < FEW_PATIENTS:
        raise UndefinedEstimate(f"fewer than {FEW_PATIENTS} patients")
    rates, ranked = np.linspace(0.0, 1.0, points), Ranked(positive, scores)
    drawn = np.concatenate(
        [
            _sensitivities(ranked, times.astype(np.float32), rates)
            for times in bootstrap_weights(patients, resamples=resamples, seed=seed)
        ]
    )
    interval(drawn[:, 0])  # refuses too many draws without a class
    low, high = np.nanpercentile(drawn, (2.5, 97.5), axis=0)
    return RocBand(rates, low, high)


def _sensitivities(ranked: Ranked, weights: NDArray[np.float32], rates: Array) -> Array:
    """(b, points): sensitivity of every resample at every false-positive rate."""
    mass = ranked.mass(weights)
    curves = np.full((len(weights), len(rates)), np.nan)
    for row, (hits, misses) in enumerate(zip(mass.found, mass.alarms, strict=True)):
        if hits[-1] and misses[-1]:
            curves[row] = np.interp(rates * misses[-1], np.append(0.0, misses), np.append(0.0, hits)) / hits[-1]
    return curves


def _histogram(labels: NDArray[np.int64], scores: Array, n_classes: int) -> Histogram:
    edges = np.linspace(0.0, 1.0, BINS + 1)
    counts = np.stack([np.histogram(scores[labels == k], edges)[0] for k in range(n_classes)])
    return Histogram(edges, counts.astype(np.int64))
