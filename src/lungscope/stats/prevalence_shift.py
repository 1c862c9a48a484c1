"""Can the prevalence of unlabelled data be estimated from a model's probabilities, and how well?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from lungscope.errors import UndefinedEstimate
from lungscope.stats.estimate import Array, Estimate
from lungscope.stats.patients import Patients, count_patients, patient_index
from lungscope.stats.prior_correction import Adapted, adapt, as_probabilities
from lungscope.stats.reference_class import p_abnormal
from lungscope.stats.resampling import bootstrap_weights, interval

RESAMPLES = 500
FEWEST_PATIENTS = 50
WIDEST = 0.4
"""Width of the interval of a share above which the estimate is of no use."""
LEVEL = 0.01
"""Of the test that only the prevalence differs; low, since it is asked at every use."""
GROUPS = 512
"""Cases of like probability are put together for the interval, so that it costs the same for any number."""
STEPS = 500


@dataclass(frozen=True)
class ClassScores:
    """How p_abnormal is distributed in each of two classes on data with labels."""

    edges: Array
    """(B - 1,), inner edges of B bins, ascending."""
    negative: Array
    """(B,), share of the healthy in each bin; sums to 1."""
    positive: Array
    negatives: int
    """Patients behind the shares."""
    positives: int


@dataclass(frozen=True)
class Fit:
    """Whether a mixture of the two classes as they were explains the scores seen."""

    p_value: float
    """Small: something else than the prevalence has changed."""
    statistic: float
    degrees: int


@dataclass(frozen=True)
class LabelShift:
    """What unlabelled data say of their prevalence."""

    adapted: Adapted | None
    """None where no estimate is to be had."""
    shares: tuple[Estimate, ...]
    """(K,), of the classes, each with its 95 % interval by drawing patients, or why there is none."""
    fit: Fit | None
    """None where the distribution of the classes on validation is not known."""
    refused: str = ""
    """Why the estimate is not to be used, in plain words; empty when nothing speaks against it."""


def examine(
    probabilities: ArrayLike,
    prior: ArrayLike,
    patients: Patients,
    scores: ClassScores | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> LabelShift:
    """Estimate the share of each class in unlabelled data, with its interval, and ask whether it can be trusted.

    The estimate holds when only the shares differ: pictures of each class look as they did on validation.
    It is refused with fewer than 50 patients, when a share has an interval wider than 0.4 (the model
    cannot tell the classes apart in these data), and when no mixture of the two classes gives the scores
    seen (chi-squared, p < 0.01).

    Args:
        probabilities: (N, K), calibrated for `prior`.
        prior: (K,), above 0, sum 1.
        patients: (N,), whose each row is.
        scores: of validation, with two classes; without it that last question is not asked.
        resamples: number of draws of patients.
        seed: of the draws.

    Raises:
        DataError: a probability or share is outside its range, or the two do not fit.
    """
    columns = as_probabilities(probabilities)
    index = patient_index(patients)
    n_patients = count_patients(index)
    if n_patients < FEWEST_PATIENTS:
        return _unknown(columns.shape[1], f"{n_patients} patients are too few: {FEWEST_PATIENTS} are needed")
    try:
        adapted = adapt(columns, prior)
    except UndefinedEstimate as error:
        return _unknown(columns.shape[1], str(error))
    drawn = _drawn_shares(columns / np.asarray(prior), adapted.prior, index, resamples, seed)
    ends = [interval(column) for column in drawn.T]
    shares = tuple(
        Estimate(value, min(low, value), max(high, value))
        for value, (low, high) in zip(adapted.prior.tolist(), ends, strict=True)
    )
    fit = mixture_fit(p_abnormal(columns), index, scores) if scores else None
    return LabelShift(adapted, shares, fit, _refusal(shares, fit))


def class_scores(
    thresholds: Array, sensitivity: Array, specificity: Array, positives: int, negatives: int, bins: int = 10
) -> ClassScores:
    """How p_abnormal is distributed in each class, from a curve of sensitivity and specificity.

    Args:
        thresholds: (T,), ascending; the first calls every case positive and the last none.
        sensitivity: (T,), at p_abnormal >= threshold.
        specificity: (T,).
        positives: patients behind the sensitivity.
        negatives: patients behind the specificity.
        bins: at most so many, with about equal numbers of cases in each.
    """
    share = positives / (positives + negatives)
    below = share * (1 - sensitivity) + (1 - share) * specificity
    wanted = np.arange(1, bins) / bins
    at = np.unique([int(np.argmin(np.abs(below - each))) for each in wanted])
    at = at[(below[at] > 0) & (below[at] < 1)]
    inner = np.concatenate(([0], at, [len(thresholds) - 1]))
    return ClassScores(
        edges=thresholds[at],
        negative=np.diff(specificity[inner]),
        positive=-np.diff(sensitivity[inner]),
        negatives=negatives,
        positives=positives,
    )


def mixture_fit(observed: Array, index: NDArray[np.intp], scores: ClassScores) -> Fit | None:
    """Test that values of p_abnormal are a mixture of the two classes as they were on validation.

    The share that fits best (minimum chi-squared) is taken; the covariance of the bins counts the chance in
    both samples, with one case per patient. None when too few bins are left to test anything.

    Args:
        observed: (N,), p_abnormal, 0..1.
        index: (N,), the patient of each row, 0..P-1.
        scores: of validation.
    """
    seen = _patient_shares(observed, index, scores.edges)
    n = int(index.max()) + 1
    # The last bin follows from the others.
    apart, rest = (scores.positive - scores.negative)[:-1], (seen - scores.negative)[:-1]
    share, statistic = 0.5, np.nan
    for _ in range(20):
        mixed = share * scores.positive + (1 - share) * scores.negative
        covariance = (
            _covariance(mixed, n)
            + share**2 * _covariance(scores.positive, scores.positives)
            + (1 - share) ** 2 * _covariance(scores.negative, scores.negatives)
        )
        inverse = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True)
        weight = float(apart @ inverse @ apart)
        if weight <= 0:
            return None
        former, share = share, float(np.clip(apart @ inverse @ rest / weight, 0.0, 1.0))
        left = rest - share * apart
        statistic = float(left @ inverse @ left)
        if abs(share - former) < 1e-6:
            break
    degrees = apart.size - 1
    return Fit(float(chdtrc(degrees, statistic)), statistic, degrees) if degrees > 0 else None


def _patient_shares(observed: Array, index: NDArray[np.intp], edges: Array) -> Array:
    """Share of each bin; a patient counts once, whatever the number of images."""
    where = np.searchsorted(edges, observed, side="right")
    weights = 1 / np.bincount(index)[index]
    shares: Array = np.bincount(where, weights=weights, minlength=edges.size + 1) / weights.sum()
    return shares


def _covariance(shares: Array, n: int) -> Array:
    """Of all bins of a multinomial but the last, with half a case more in each so that none is certain."""
    smooth = (shares * n + 0.5) / (n + 0.5 * shares.size)
    covariance: Array = (np.diag(smooth) - np.outer(smooth, smooth))[:-1, :-1] / n
    return covariance


def _drawn_shares(odds: Array, start: Array, index: NDArray[np.intp], resamples: int, seed: int) -> Array:
    """(resamples, K): the estimate in draws of patients, each beginning at the estimate itself."""
    order = np.argsort(odds[:, 0], kind="stable")
    starts = np.unique(np.linspace(0, order.size, min(GROUPS, order.size), endpoint=False).astype(int))
    sizes = np.diff(np.append(starts, order.size))[:, None]
    grouped = np.add.reduceat(odds[order], starts, axis=0) / sizes
    found = []
    for weights in bootstrap_weights(index, resamples=resamples, seed=seed):
        mass = np.add.reduceat(weights[:, order].astype(np.float64), starts, axis=1)
        found.append(_maximise(grouped, mass / mass.sum(axis=1, keepdims=True), start))
    return np.concatenate(found)


def _maximise(odds: Array, mass: Array, start: Array) -> Array:
    """Expectation maximisation for every row of `mass` (B, G) at once: (B, K)."""
    shares = np.tile(start, (len(mass), 1))
    for _ in range(STEPS):
        stepped: Array = shares * ((mass / (shares @ odds.T)) @ odds)
        change = float(np.abs(stepped - shares).max())
        shares = stepped
        if change < 1e-6:
            break
    return shares


def _unknown(n_classes: int, reason: str) -> LabelShift:
    return LabelShift(None, (Estimate(None, reason=reason),) * n_classes, None, reason)


def _refusal(shares: tuple[Estimate, ...], fit: Fit | None) -> str:
    widest = max((each.high or 0.0) - (each.low or 0.0) for each in shares)
    if widest > WIDEST:
        return (
            f"the interval of the estimated share is {100 * widest:.0f} points wide: the model hardly tells the "
            "classes apart in these data"
        )
    if fit and fit.p_value < LEVEL:
        p = "p < 0.001" if fit.p_value < 0.001 else f"p = {fit.p_value:.3f}"
        return (
            f"no mixture of the classes as they were on validation gives these probabilities ({p}): "
            "something else than the prevalence differs"
        )
    return ""
