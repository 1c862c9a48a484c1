"""Discrimination: how well scores and decisions tell the diseased from the healthy.

Every figure takes weights (..., N) and then gives one value per leading index, so that a bootstrap is a
handful of array operations. NumPy only: a prediction imports this module.
"""

from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import DataError, UndefinedFigure

Array = NDArray[np.float64]
Weights = NDArray[Any]
Ratio = float | Array
"""One figure, or one per resample; NaN where it is undefined."""


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval, or the reason why one of them is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    """Why there is no value, or no interval, in plain words; empty when both are there."""

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined ({self.reason})"
        interval = "" if self.low is None else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{interval}"


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
    positive: Array
    """(..., G)."""
    negative: Array
    """(..., G)."""


@overload
def auroc(positive: ArrayLike, scores: ArrayLike, weights: None = None) -> float: ...
@overload
def auroc(positive: ArrayLike, scores: ArrayLike, weights: Weights) -> Array: ...
def auroc(positive: ArrayLike, scores: ArrayLike, weights: Weights | None = None) -> Ratio:
    """Area under the ROC curve: how often a diseased case scores above a healthy one, ties counting half.

    Args:
        positive: (N,), true or 1 where diseased.
        scores: (N,), higher means more suspicious; any monotone scale.
        weights: (..., N), how often each row counts; gives an array (...), NaN where a class has no weight.

    Raises:
        UndefinedFigure: one class is empty, or a score or label is not a number.
    """
    mass = score_mass(positive, scores, weights)
    healthy = mass.negative.sum(-1)
    lower = healthy[..., None] - mass.negative.cumsum(-1)
    wins = (mass.positive * (lower + mass.negative / 2)).sum(-1)
    return ratio(wins, mass.positive.sum(-1) * healthy)


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
        UndefinedFigure: a class has no case, or a probability is not a number.
    """
    columns = np.asarray(probabilities, np.float64)
    truth = class_indices(labels, columns.shape[1])
    absent = sorted(set(range(columns.shape[1])) - set(truth.tolist()))
    if absent:
        raise UndefinedFigure(f"class {absent[0]} has no case among {len(truth)}")
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
    mass = score_mass(positive, scores, weights)
    found = mass.positive.cumsum(-1)
    called = found + mass.negative.cumsum(-1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    # Without healthy cases precision is 1 at every score and says nothing.
    defined = np.where(mass.negative.sum(-1) > 0, found[..., -1], 0.0)
    return ratio((mass.positive * precision).sum(-1), defined)


def roc_curve(positive: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Sensitivity against false-positive rate at every threshold; a case is positive at scores >= it.

    Raises:
        UndefinedFigure: as `auroc`.
    """
    mass = score_mass(positive, scores, None)
    found, alarms = (np.concatenate(([0.0], side.cumsum())) for side in (mass.positive, mass.negative))
    return RocCurve(alarms / alarms[-1], found / found[-1], np.concatenate(([np.inf], mass.scores)))


def precision_recall_curve(positive: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Precision against recall at every threshold; a case is positive at scores >= it.

    Raises:
        UndefinedFigure: as `auroc`.
    """
    mass = score_mass(positive, scores, None)
    found, alarms = mass.positive.cumsum(), mass.negative.cumsum()
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
    return Counts(*np.moveaxis(weights @ cells.astype(np.float64), -1, 0))


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """(K, K) number of cases, row the true class, column the predicted one.

    Raises:
        DataError: an index is outside 0..K-1, or the two differ in length.
    """
    truth, called = class_indices(labels, n_classes), class_indices(predicted, n_classes)
    same_rows(truth, called)
    cells = np.bincount(truth * n_classes + called, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def ratio(part: ArrayLike, whole: ArrayLike) -> Ratio:
    """`part / whole`, NaN where the whole is empty."""
    over, under = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    empty = np.full(np.broadcast_shapes(over.shape, under.shape), np.nan)
    result: Ratio = np.divide(over, under, out=empty, where=under > 0)[()]
    return result


def score_mass(positive: ArrayLike, scores: ArrayLike, weights: Weights | None) -> ScoreMass:
    """Sort the scores once and add up the weight of each class at every distinct one.

    Raises:
        UndefinedFigure: one class is empty, or a score or label is not a number.
    """
    truth, values = as_binary(positive), numbers(scores, "scores")
    same_rows(truth, values)
    if truth.all() or not truth.any():
        absent = "negative" if truth.any() else "positive"
        raise UndefinedFigure(f"no {absent} case among {len(truth)}")
    order = np.argsort(-values, kind="stable")
    falling, rows = values[order], truth[order]
    starts = np.flatnonzero(np.concatenate(([True], falling[1:] != falling[:-1])))
    mass = np.ones(len(order)) if weights is None else weights[..., order].astype(np.float64)
    diseased = np.add.reduceat(mass * rows, starts, axis=-1)
    return ScoreMass(falling[starts], diseased, np.add.reduceat(mass, starts, axis=-1) - diseased)


def as_binary(values: ArrayLike) -> NDArray[np.bool_]:
    """Labels or calls as booleans.

    Raises:
        UndefinedFigure: a label is missing (NaN).
        DataError: a label is neither 0 nor 1.
    """
    labels = np.asarray(values)
    if labels.dtype.kind == "f":
        labels = numbers(labels, "labels")
    if labels.dtype != bool and not np.isin(labels, (0, 1)).all():
        raise DataError(
            "A two-class figure needs labels 0 or 1 and got others. Pass labels == the class in question."
        )
    return labels.astype(np.bool_)


def class_indices(values: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Class indices, checked.

    Raises:
        DataError: a value is not a whole number from 0 to `n_classes` - 1.
    """
    labels = np.asarray(values)
    if labels.size and (labels.dtype.kind not in "biu" or labels.min() < 0 or labels.max() >= n_classes):
        raise DataError(
            f"Class indices must be whole numbers from 0 to {n_classes - 1}. Check the order of the classes."
        )
    return labels.astype(np.int64)


def numbers(values: ArrayLike, what: str) -> Array:
    """Values as floats; NaN makes whatever is computed from them undefined.

    Raises:
        UndefinedFigure: a value is missing (NaN).
    """
    floats = np.asarray(values, np.float64)
    missing = int(np.isnan(floats).sum())
    if missing:
        raise UndefinedFigure(f"{missing} of {floats.size} {what} are not numbers")
    return floats


def same_rows(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Check that two columns describe the same rows.

    Raises:
        DataError: their lengths differ.
    """
    if len(first) != len(second):
        raise DataError(
            f"Columns of {len(first)} and {len(second)} rows do not fit. Pass both for the same rows."
        )
