"""Labelled cases with their predictions, and the metrics of them that a bootstrap can draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.evaluation.curves import require_spread
from lungscope.stats.calibration import brier, expected_calibration_error
from lungscope.stats.columns import class_indices, same_rows
from lungscope.stats.comparison import auroc_estimate
from lungscope.stats.estimate import Array, Estimate, Ratio
from lungscope.stats.metrics import Ranked, Weights, count
from lungscope.stats.operating_points import predictive_values
from lungscope.stats.patients import Patients
from lungscope.stats.prior_correction import as_probabilities
from lungscope.stats.reference_class import p_abnormal
from lungscope.stats.resampling import Metric


@dataclass(frozen=True)
class Cases:
    """N labelled cases, checked."""

    labels: NDArray[np.int64]
    probabilities: Array
    """(N, K)."""
    patients: NDArray[np.str_]
    classes: tuple[str, ...]
    has_reference: bool = True
    """Whether the first class is one that all others are told from; of two classes it always is."""

    def __repr__(self) -> str:
        return f"Cases({len(self.labels)} cases, classes={self.classes})"

    @property
    def decided(self) -> NDArray[np.int64]:
        """(N,), the likeliest class."""
        likeliest: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return likeliest

    @property
    def diseased(self) -> NDArray[np.bool_]:
        """(N,), whether the label is another than the first class."""
        return self.labels > 0

    @property
    def p_abnormal(self) -> Array:
        """(N,), probability of not being of the first class."""
        return p_abnormal(self.probabilities)

    def area(self, k: int) -> Estimate:
        """AUROC of class k against all others, with DeLong's interval."""
        return (self._suspected if len(self.classes) == 2 else self._against_others[k]).area(self.patients)

    def p_abnormal_area(self) -> Estimate:
        """AUROC of p_abnormal, disease of any kind against the reference, with DeLong's interval."""
        return self._suspected.area(self.patients)

    def areas(self) -> list[Metric]:
        """AUROC of each class against all others."""
        if len(self.classes) == 2:  # the same for both
            return [self._by_rank("auroc", self._suspected)] * 2
        return [self._by_rank("auroc", each) for each in self._against_others]

    def precisions(self) -> list[Metric]:
        """Average precision of each class against all others; of two classes, of the second one only."""
        if len(self.classes) == 2:
            return [self._by_rank("average_precision", self._suspected)]
        return [self._by_rank("average_precision", each) for each in self._against_others]

    def brier(self) -> Metric:
        """Brier score of all classes."""
        return lambda weights: brier(self.labels, self.probabilities, weights)

    def ece(self) -> Metric:
        """Expected calibration error."""
        return lambda weights: expected_calibration_error(self.labels, self.probabilities, weights=weights)

    def balanced_accuracy(self) -> Metric:
        """Mean recall of the classes, with the likeliest as the decision."""

        def recall(k: int) -> Metric:
            def value(weights: Weights | None) -> Ratio:
                if not (self.labels == k).any():
                    raise UndefinedEstimate(f"no case is {self.classes[k]}")
                return count(self.labels == k, self.decided == k, weights).sensitivity

            return value

        return mean([recall(k) for k in range(len(self.classes))])

    def predictive_values(self, called: NDArray[np.bool_], prevalence: float) -> list[Metric]:
        """PPV and NPV of calls (N,) where the disease has another prevalence."""

        def value(which: int, weights: Weights | None) -> Ratio:
            if self.diseased.all() or not self.diseased.any():
                raise UndefinedEstimate(_one_sided(self.diseased, f"other than {self.classes[0]}"))
            if not (called if which == 0 else ~called).any():
                raise UndefinedEstimate(f"no case was called {('positive', 'negative')[which]}")
            counts = count(self.diseased, called, weights)
            return predictive_values(counts.sensitivity, counts.specificity, prevalence)[which]

        return [lambda weights: value(0, weights), lambda weights: value(1, weights)]

    def _by_rank(self, name: str, ranking: "_Ranking") -> Metric:
        return lambda weights: getattr(ranking.ranked.mass(weights), name)

    @cached_property
    def _suspected(self) -> "_Ranking":
        name = self.classes[1] if len(self.classes) == 2 else f"other than {self.classes[0]}"
        return _Ranking(self.diseased, self.p_abnormal, name)

    @cached_property
    def _against_others(self) -> "list[_Ranking]":
        columns = enumerate(zip(self.classes, self.probabilities.T, strict=True))
        return [_Ranking(self.labels == k, column, name) for k, (name, column) in columns]


@dataclass(frozen=True)
class _Ranking:
    """A score that tells one class from others; sorted when first asked, so that a reason comes in its place."""

    truth: NDArray[np.bool_]
    scores: Array
    name: str

    def area(self, patients: NDArray[np.str_]) -> Estimate:
        try:
            self._refuse()
        except UndefinedEstimate as error:
            return Estimate(None, reason=str(error))
        return auroc_estimate(self.truth, self.scores, patients)

    @cached_property
    def ranked(self) -> Ranked:
        self._refuse()
        return Ranked(self.truth, self.scores)

    def _refuse(self) -> None:
        if self.truth.all() or not self.truth.any():
            raise UndefinedEstimate(_one_sided(self.truth, self.name))
        require_spread(self.scores)


def check_cases(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: Patients,
    classes: Sequence[str],
    *,
    has_reference: bool = True,
) -> Cases:
    """Columns as cases.

    Args:
        labels: (N,), class indices.
        probabilities: (N, K), calibrated; rows sum to 1.
        patients: (N,), whose each row is.
        classes: K names.
        has_reference: with more than two classes, whether the first is one that all others are told from.

    Raises:
        DataError: no case, a probability that is none, or columns that do not fit.
    """
    columns, names = np.asarray(probabilities, np.float64), np.asarray(patients, np.str_)
    if columns.ndim != 2 or columns.shape[1] != len(classes):
        raise DataError(
            f"Probabilities of shape {columns.shape} do not fit {len(classes)} classes. Pass a column per class."
        )
    if not len(columns):
        raise DataError("There is no case to evaluate. Name a split that holds images.")
    if not np.isfinite(columns).all():
        raise DataError("A probability is not a number. Leave that case out; a model that gives one is damaged.")
    truth = class_indices(labels, len(classes))
    same_rows(truth, columns)
    same_rows(truth, names)
    return Cases(truth, as_probabilities(columns), names, tuple(classes), has_reference or len(classes) == 2)


def mean(metrics: Sequence[Metric]) -> Metric:
    """Unweighted mean of metrics; undefined as soon as one is."""

    def value(weights: Weights | None) -> Ratio:
        average: Ratio = np.mean([np.asarray(metric(weights)) for metric in metrics], axis=0)[()]
        return average

    return value


def _one_sided(truth: NDArray[np.bool_], name: str) -> str:
    return f"{'every' if truth.all() else 'no'} case is {name}"
