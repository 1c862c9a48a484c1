"""Calibration: does a probability of 0.8 come true eight times in ten, and how to make it so.

For two classes every estimate is about the probability of class 1; it may be given as (N,) or as (N, 2).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import expit, log_softmax, softmax

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.stats.columns import class_indices, same_rows
from lungscope.stats.estimate import Array, Ratio, ratio
from lungscope.stats.metrics import Weights, float_kind
from lungscope.stats.prior_correction import as_probabilities
from lungscope.stats.proportion import wilson

BINS = 15
TEMPERATURES = (0.01, 100.0)
SATURATED = 1e-7
"""Distance from 0 and 1 within which single precision cannot tell a probability from certainty."""


class Platt(NamedTuple):
    """probabilities = softmax(scale · logits + shift)."""

    scale: float
    shift: tuple[float, ...]
    """(K,), the first is 0."""


@dataclass(frozen=True)
class Recalibration:
    """Logistic recalibration (Cox 1958): log-odds of the outcome = intercept + slope · log-odds predicted."""

    slope: float
    """1 is ideal; below 1 the probabilities are too extreme."""
    intercept: float
    in_the_large: float
    """Intercept with the slope held at 1; above 0 the probabilities are too low on the whole."""


@dataclass(frozen=True)
class ReliabilityCurve:
    """One entry per bin that holds a case."""

    predicted: Array
    """Mean probability."""
    observed: Array
    """Share that came true."""
    low: Array
    high: Array
    """95 % Wilson interval of `observed`."""
    count: NDArray[np.int64]


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Temperature that minimises log loss (Guo et al. 2017): probabilities = softmax(logits / temperature).

    The loss is taken against Platt's targets, see `fit_platt`. On many cases they change nothing; on few
    they keep the temperature finite when every case is on the right side.

    Args:
        logits: (N, K), uncalibrated.
        labels: (N,), class indices.

    Returns:
        From 0.01 to 100; 1 changes nothing, above 1 the network was overconfident.

    Raises:
        DataError: a class has no case, or a logit is not finite.
    """
    scores, targets = _checked(logits, labels)

    def loss(log_temperature: float) -> float:
        return -float((targets * log_softmax(scores / np.exp(log_temperature), axis=1)).mean())

    best = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(best.x))


def fit_platt(logits: ArrayLike, labels: ArrayLike) -> Platt:
    """Scale and shifts that minimise log loss; Platt scaling for two classes (Platt 1999).

    For K classes one scale and a shift per class (bias-corrected temperature, Alexandari et al. 2020).
    Targets are Platt's: a case of a class with n cases counts (n + 1) / (n + K) for it and 1 / (n + K) for
    every other, so that the fit stays finite when the classes separate.

    Args:
        logits: (N, K), uncalibrated.
        labels: (N,), class indices.

    Raises:
        DataError: a class has no case, or a logit is not finite.
    """
    scores, targets = _checked(logits, labels)
    scale, shift = _fit_scale_shift(scores, targets)
    return Platt(scale, tuple(float(b) for b in shift))


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS, weights: Weights | None = None
) -> Ratio:
    """Mean gap between probability and outcome over bins of equal width (ECE, Naeini et al. 2015).

    Two classes: the probability of class 1. More: that of the class predicted (top label). Biased upward
    on few cases: even a perfect model shows a gap.

    Args:
        labels: (N,), class indices.
        probabilities: (N,), (N, 2) or (N, K).
        bins: number of bins from 0 to 1.
        weights: (..., N), how often each row counts; gives an array (...).

    Raises:
        UndefinedEstimate: there is no case, or a probability is not a number.
        DataError: a probability is outside 0..1, or the columns do not fit.
    """
    outcome, confidence = _binary_view(labels, probabilities)
    rows = np.ones(confidence.size) if weights is None else weights
    gaps = np.zeros((confidence.size, bins), float_kind(rows))
    gaps[np.arange(confidence.size), _bin(confidence, bins)] = confidence - outcome
    return ratio(np.abs(rows @ gaps).sum(-1), rows.sum(-1))


def classwise_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS, weights: Weights | None = None
) -> Ratio:
    """Mean over the classes of the calibration error of each class's own probability (Kull et al. 2019).

    Arguments and errors as in `expected_calibration_error`, with probabilities (N, K).
    """
    columns = as_probabilities(probabilities)
    truth = class_indices(labels, columns.shape[1])
    errors = [
        np.asarray(expected_calibration_error(truth == k, columns[:, k], bins, weights))
        for k in range(columns.shape[1])
    ]
    mean: Ratio = np.mean(errors, axis=0)[()]
    return mean


def brier(labels: ArrayLike, probabilities: ArrayLike, weights: Weights | None = None) -> Ratio:
    """Mean squared error of the probabilities (Brier 1950); lower is better.

    Two classes: of class 1's probability, 0..1. More: summed over the classes, 0..2.
    Arguments and errors as in `expected_calibration_error`.
    """
    given = np.asarray(probabilities)
    if given.ndim == 2 and given.shape[1] > 2:
        columns = as_probabilities(given)
        truth = class_indices(labels, columns.shape[1])
        same_rows(truth, columns)
        squares = ((columns - np.eye(columns.shape[1])[truth]) ** 2).sum(1)
    else:
        outcome, probability = _binary_view(labels, given)
        squares = (probability - outcome) ** 2
    rows = np.ones(squares.size) if weights is None else weights
    return ratio(rows @ squares.astype(float_kind(rows)), rows.sum(-1))


def calibration_slope_intercept(positive: ArrayLike, probabilities: ArrayLike) -> Recalibration:
    """Slope and intercept of the outcome on the predicted log-odds (TRIPOD; Van Calster et al. 2019).

    Args:
        positive: (N,), 0 or 1.
        probabilities: (N,) or (N, 2); within 1e-7 of 0 and 1 they are taken as that far off.

    Raises:
        UndefinedEstimate: one class only, constant probabilities, or classes that separate without overlap.
    """
    outcome, probability = _binary_view(positive, probabilities)
    clipped = np.clip(probability, SATURATED, 1 - SATURATED)
    odds = np.log(clipped) - np.log1p(-clipped)
    _require_overlap(outcome, odds)
    columns = np.stack([np.zeros_like(odds), odds], axis=1)
    slope, shift = _fit_scale_shift(columns, np.stack([1 - outcome, outcome], axis=1))
    reach = float(np.abs(odds).max()) + 50
    in_the_large = brentq(lambda b: float((expit(odds + b) - outcome).sum()), -reach, reach)
    return Recalibration(slope, float(shift[1]), float(in_the_large))


def reliability_curve(labels: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> ReliabilityCurve:
    """Outcome against probability in bins of equal width; empty bins are left out.

    Arguments and errors as in `expected_calibration_error`.
    """
    outcome, confidence = _binary_view(labels, probabilities)
    where = _bin(confidence, bins)
    count = np.bincount(where, minlength=bins)
    held = count > 0
    n = count[held]
    predicted, observed = (np.bincount(where, side, bins)[held] / n for side in (confidence, outcome))
    return ReliabilityCurve(predicted, observed, *wilson(observed, n), n.astype(np.int64))


def _bin(confidence: Array, bins: int) -> NDArray[np.int64]:
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def _binary_view(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Array, Array]:
    """What came true (N,) and how probable it was (N,)."""
    given = as_probabilities(probabilities)
    n_classes = 2 if given.ndim == 1 else given.shape[1]
    truth = class_indices(labels, n_classes)
    same_rows(truth, given)
    if not truth.size:
        raise UndefinedEstimate("no case")
    if n_classes == 2:
        return truth.astype(np.float64), given if given.ndim == 1 else given[:, 1]
    top = given.argmax(axis=1)
    return (truth == top).astype(np.float64), given.max(axis=1)


def _checked(logits: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Logits (N, K) and Platt's targets (N, K)."""
    scores = np.asarray(logits, np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise DataError(
            f"Calibration needs logits (N, K) with K >= 2 and got shape {scores.shape}. Pass one column per class."
        )
    if not np.isfinite(scores).all():
        raise DataError(
            "Calibration needs finite logits and got NaN or infinity. The network has diverged; train it again."
        )
    n_classes = scores.shape[1]
    truth = class_indices(labels, n_classes)
    same_rows(truth, scores)
    cases = np.bincount(truth, minlength=n_classes)
    if not cases.all():
        raise DataError(f"Class {int(cases.argmin())} has no validation case to calibrate on. Enlarge data.validation.")
    targets = np.eye(n_classes)[truth] * cases[truth, None] + 1
    return scores, targets / targets.sum(axis=1, keepdims=True)


def _fit_scale_shift(scores: Array, targets: Array) -> tuple[float, Array]:
    """Minimise cross-entropy of softmax(scale · scores + shift), which is convex; shift[0] stays 0."""
    spread = float(np.std(scores - scores.mean(axis=1, keepdims=True))) or 1.0
    unit = scores / spread

    def loss(x: Array) -> tuple[float, Array]:
        logits = x[0] * unit + np.concatenate(([0.0], x[1:]))
        excess = (softmax(logits, axis=1) - targets) / len(unit)
        value = -float((targets * log_softmax(logits, axis=1)).sum()) / len(unit)
        return value, np.concatenate(([float((excess * unit).sum())], excess.sum(axis=0)[1:]))

    start = np.zeros(scores.shape[1])
    start[0] = spread
    best = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 1000})
    return float(best.x[0]) / spread, np.concatenate(([0.0], best.x[1:]))


def _require_overlap(outcome: Array, odds: Array) -> None:
    diseased, healthy = odds[outcome == 1], odds[outcome == 0]
    if not diseased.size or not healthy.size:
        raise UndefinedEstimate(f"no {'negative' if diseased.size else 'positive'} case among {odds.size}")
    if odds.min() == odds.max():
        raise UndefinedEstimate("all probabilities are equal")
    if diseased.min() >= healthy.max() or healthy.min() >= diseased.max():
        raise UndefinedEstimate("the probabilities separate the classes without overlap: no finite slope fits")
