"""Discrimination: how well scores and decisions tell the diseased from the healthy.

Every metric takes weights (..., N) and then gives one value per leading index, so that a bootstrap is a
handful of array operations. NumPy only: a prediction imports this module.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import UndefinedEstimate
from lungscope.stats.columns import as_binary, class_indices, numbers, same_rows
from lungscope.stats.estimate import Array, Ratio, ratio

Weights = NDArray[Any]


@dataclass(frozen=True)
class Counts:
    """Decisions against the truth: integers, or arrays with one entry per resample.

    A ratio without any case in its denominator is NaN.
    """

    true_positive: int | Array
    false_positive: int | Array
    true_negative: int | Array
    false_negative: int | Array

    @property
    def sensitivity(self) -> Ratio:
        """Share of the diseased that are called positive (recall)."""
        return ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> Ratio:
        """Share of the healthy that are called negative."""
        return ratio(self.true_negative, self.true_negative + self.false_positive)

    @property
    def ppv(self) -> Ratio:
        """Share of positive calls that are right, at the prevalence of these data (precision)."""
        return ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def npv(self) -> Ratio:
        """Share of negative calls that are right, at the prevalence of these data."""
        return ratio(self.true_negative, self.true_negative + self.false_negative)

    @property
    def f1(self) -> Ratio:
        """Harmonic mean of sensitivity and PPV."""
        wrong = self.false_positive + self.false_negative
        return ratio(2 * self.true_positive, 2 * self.true_positive + wrong)

    @property
    def accuracy(self) -> Ratio:
        """Share of all calls that are right."""
        right = self.true_positive + self.true_negative
        return ratio(right, right + self.false_positive + self.false_negative)

    @property
    def balanced_accuracy(self) -> Ratio:
        """Mean of sensitivity and specificity."""
        return (self.sensitivity + self.specificity) / 2


@dataclass(frozen=True)
class RocCurve:
    """One point per distinct score and (0, 0) before them; thresholds fall, the first is infinite."""

    false_positive_rate: Array
    sensitivity: Array
    thresholds: Array


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """One point per distinct score; thresholds fall, recall rises."""

    recall: Array
    precision: Array
    thresholds: Array


@dataclass(frozen=True)
class ScoreMass:
    """Weight of each class at every distinct score, the highest score first."""

    scores: Array
    """(G,)."""
    positive: Weights
    """(..., G)."""
    negative: Weights
    """(..., G)."""

    @cached_property
    def found(self) -> Weights:
        """(..., G), weight of the diseased at this score or above."""
        return self.positive.cumsum(-1)

    @cached_property
    def alarms(self) -> Weights:
        """(..., G), weight of the healthy at this score or above."""
        return self.negative.cumsum(-1)

    @cached_property
    def auroc(self) -> Ratio:
        """Area under the ROC curve, (...)."""
        healthy = self.alarms[..., -1]
        # Without those above and half of those at the same score.
        lower = healthy[..., None] - self.alarms + self.negative / 2
        wins = np.einsum("...g,...g->...", self.positive, lower, dtype=np.float64)
        return ratio(wins, self.found[..., -1] * healthy.astype(np.float64))

    @cached_property
    def average_precision(self) -> Ratio:
        """Step-wise area under precision against recall, (...)."""
        called = self.found + self.alarms
        precision = np.divide(self.found, called, out=np.zeros_like(called), where=called > 0)
        # Without healthy cases precision is 1 at every score and says nothing.
        defined = np.where(self.alarms[..., -1] > 0, self.found[..., -1], 0.0)
        return ratio(np.einsum("...g,...g->...", self.positive, precision, dtype=np.float64), defined)


class Ranked:
    """Scores of fixed cases, sorted once; metrics of the same weights share their sums.

    Args:
        positive: (N,), true or 1 where diseased.
        scores: (N,), higher means more likely diseased.

    Raises:
        UndefinedEstimate: one class is empty, or a score or label is not a number.
    """

    def __init__(self, positive: ArrayLike, scores: ArrayLike) -> None:
        """Sort."""
        truth, values = as_binary(positive), numbers(scores, "scores")
        same_rows(truth, values)
        if truth.all() or not truth.any():
            absent = "negative" if truth.any() else "positive"
            raise UndefinedEstimate(f"no {absent} case among {len(truth)}")
        self._order = np.argsort(-values, kind="stable")
        falling, self._diseased = values[self._order], truth[self._order].astype(np.float32)
        self._starts = np.flatnonzero(np.concatenate(([True], falling[1:] != falling[:-1])))
        self._scores = falling[self._starts]
        self._last: tuple[Weights | None, ScoreMass] | None = None

    def mass(self, weights: Weights | None = None) -> ScoreMass:
        """Weight of each class at every distinct score, for weights (..., N)."""
        if self._last is None or self._last[0] is not weights:
            self._last = (weights, self._add_up(weights))
        return self._last[1]

    def _add_up(self, weights: Weights | None) -> ScoreMass:
        if weights is None:
            mass = np.ones(len(self._order))
        else:
            mass = weights.take(self._order, axis=-1)
            mass = mass.astype(float_kind(mass), copy=False)
        diseased = mass * self._diseased
        healthy = mass - diseased
        if len(self._starts) < len(self._order):
            diseased, healthy = (np.add.reduceat(side, self._starts, axis=-1) for side in (diseased, healthy))
        return ScoreMass(self._scores, diseased, healthy)


@overload
def auroc(positive: ArrayLike, scores: ArrayLike, weights: None = None) -> float: ...
@overload
def auroc(positive: ArrayLike, scores: ArrayLike, weights: Weights) -> Array: ...
def auroc(positive: ArrayLike, scores: ArrayLike, weights: Weights | None = None) -> Ratio:
    """Area under the ROC curve: how often a diseased case scores above a healthy one, ties counting half.

    Args:
        positive: (N,), true or 1 where diseased.
        scores: (N,), higher means more likely diseased; any monotone scale.
        weights: (..., N), how often each row counts; gives an array (...), NaN where a class has no weight.

    Raises:
        UndefinedEstimate: one class is empty, or a score or label is not a number.
    """
    return Ranked(positive, scores).mass(weights).auroc


@overload
def macro_auroc(labels: ArrayLike, probabilities: ArrayLike, weights: None = None) -> float: ...
@overload
def macro_auroc(labels: ArrayLike, probabilities: ArrayLike, weights: Weights) -> Array: ...
def macro_auroc(labels: ArrayLike, probabilities: ArrayLike, weights: Weights | None = None) -> Ratio:
    """Unweighted mean over the classes of the AUROC of each class against all others.

    Args:
        labels: (N,), class indices 0..K-1.
        probabilities: (N, K).
        weights: (..., N), as in `auroc`.

    Raises:
        UndefinedEstimate: a class has no case, or a probability is not a number.
    """
    columns = np.asarray(probabilities, np.float64)
    truth = class_indices(labels, columns.shape[1])
    absent = sorted(set(range(columns.shape[1])) - set(truth.tolist()))
    if absent:
        raise UndefinedEstimate(f"class {absent[0]} has no case among {len(truth)}")
    areas = [np.asarray(auroc(truth == k, columns[:, k], weights)) for k in range(columns.shape[1])]
    mean: Ratio = np.mean(areas, axis=0)[()]
    return mean


@overload
def average_precision(positive: ArrayLike, scores: ArrayLike, weights: None = None) -> float: ...
@overload
def average_precision(positive: ArrayLike, scores: ArrayLike, weights: Weights) -> Array: ...
def average_precision(positive: ArrayLike, scores: ArrayLike, weights: Weights | None = None) -> Ratio:
    """Mean precision over the diseased, each at its own score; the step-wise area under precision-recall.

    Arguments and errors are those of `auroc`. Unlike the AUROC it depends on the prevalence.
    """
    return Ranked(positive, scores).mass(weights).average_precision


def roc_curve(positive: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Sensitivity against false-positive rate at every threshold; a case is positive at scores >= it."""
    mass = Ranked(positive, scores).mass()
    found, alarms = (np.concatenate(([0.0], side)) for side in (mass.found, mass.alarms))
    return RocCurve(alarms / alarms[-1], found / found[-1], np.concatenate(([np.inf], mass.scores)))


def precision_recall_curve(positive: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Precision against recall at every threshold; a case is positive at scores >= it."""
    mass = Ranked(positive, scores).mass()
    found, alarms = mass.found, mass.alarms
    return PrecisionRecallCurve(found / found[-1], found / (found + alarms), mass.scores)


def count(positive: ArrayLike, predicted: ArrayLike, weights: Weights | None = None) -> Counts:
    """Count right and wrong calls; integers without weights, arrays (...) with weights (..., N).

    Raises:
        DataError: the two differ in length or are not 0 or 1.
    """
    truth, called = as_binary(positive), as_binary(predicted)
    same_rows(truth, called)
    cells = np.stack([truth & called, ~truth & called, ~truth & ~called, truth & ~called], axis=1)
    if weights is None:
        return Counts(*(int(n) for n in cells.sum(0)))
    return Counts(*np.moveaxis((weights @ cells.astype(float_kind(weights))).astype(np.float64), -1, 0))


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """(K, K) number of cases, row the true class, column the predicted one.

    Raises:
        DataError: an index is outside 0..K-1, or the two differ in length.
    """
    truth, called = class_indices(labels, n_classes), class_indices(predicted, n_classes)
    same_rows(truth, called)
    cells = np.bincount(truth * n_classes + called, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def float_kind(weights: Weights) -> np.dtype[Any]:
    """What sums over weights are computed in: products of two kinds of number, or of whole ones, are far slower."""
    return weights.dtype if weights.dtype.kind == "f" else np.dtype(np.float64)
