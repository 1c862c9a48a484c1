"""Several models on the same cases: who leads, by how much, and whether that could be chance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.evaluation.cases import Cases, check_cases, mean
from lungscope.evaluation.curves import require_spread
from lungscope.evaluation.paired import PairedDifference, auroc_metric, correct, paired_difference
from lungscope.stats.estimate import Array, Estimate, Ratio
from lungscope.stats.metrics import Counts, Weights, count, roc_curve
from lungscope.stats.patients import Patients, count_patients
from lungscope.stats.resampling import RESAMPLES, Metric, estimates

FEWEST_SEEDS = 3
"""Training runs per method below which none is called better: a difference may be the seed's."""
THRESHOLDS = (0.5, 0.7)
"""Where a published report asks what moving the cut-off does."""
CALLS = ("sensitivity", "specificity", "ppv", "f1")
GRID = np.linspace(0.0, 1.0, 201)
NO_REFERENCE = "no class is the reference"


@dataclass(frozen=True)
class Cost:
    """What a method takes; None where it is not known."""

    parameters: int | None = None
    training_s: float | None = None
    """Mean over runs."""
    images_per_s: float | None = None
    milliseconds: float | None = None
    """Median time of one image by itself, on all cores."""


@dataclass(frozen=True)
class Candidate:
    """A method with its predictions of the common cases, once per seed."""

    name: str
    seeds: tuple[int, ...]
    probabilities: tuple[NDArray[np.floating], ...]
    """(N, K) per seed, calibrated; rows sum to 1."""
    cost: Cost = Cost()


@dataclass(frozen=True)
class Failure:
    """A method without predictions."""

    name: str
    reason: str


@dataclass(frozen=True)
class AtThreshold:
    """What calling every p_abnormal of `threshold` or more does; see `CALLS`."""

    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    f1: Estimate


@dataclass(frozen=True)
class MeanRoc:
    """Sensitivity at rising false-positive rates; with several seeds their mean at each rate."""

    false_positive_rate: Array
    sensitivity: Array


@dataclass(frozen=True)
class Standing:
    """One line of the leaderboard; estimates are means over seeds, intervals come from drawing patients."""

    name: str
    seeds: tuple[int, ...]
    cost: Cost
    auroc: Estimate
    accuracy: Estimate
    """With the likeliest class as the decision."""
    sensitivity: Estimate
    specificity: Estimate
    """Both of p_abnormal at 0.5."""
    f1: Estimate
    """At 0.5; with more than two classes the mean over the classes, the likeliest one called."""
    auroc_by_seed: tuple[float, ...]
    thresholds: tuple[AtThreshold, ...]
    roc: MeanRoc | None
    """Of p_abnormal."""
    difference: PairedDifference | None = None
    """None for the leader."""

    @property
    def spread(self) -> float | None:
        """Standard deviation of the AUROC over seeds."""
        return float(np.std(self.auroc_by_seed, ddof=1)) if len(self.auroc_by_seed) > 1 else None


@dataclass(frozen=True)
class Comparison:
    """A leaderboard, the best first."""

    n: int
    patients: int
    classes: tuple[str, ...]
    standings: tuple[Standing, ...]
    failures: tuple[Failure, ...]

    @property
    def decisive(self) -> bool:
        """Whether there are enough seeds to call one method better than another."""
        return all(len(each.seeds) >= FEWEST_SEEDS for each in self.standings)


def compare(
    labels: ArrayLike,
    patients: Patients,
    classes: Sequence[str],
    candidates: Sequence[Candidate],
    failures: Sequence[Failure] = (),
    *,
    has_reference: bool = True,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Rank methods by their AUROC and hold each against the leader.

    With several seeds the tests are made seed by seed and their p-values combined by twice the median,
    which holds however the runs depend on each other; then all are corrected by Holm.

    Args:
        labels: (N,), class indices.
        patients: (N,), whose each row is.
        classes: K names; the first is the reference.
        candidates: with predictions of these N cases.
        failures: methods that have none.
        has_reference: with more than two classes, whether the first is one that others are told from.
        resamples: number of draws of patients.

    Raises:
        DataError: no candidate, no case, or columns that do not fit.
    """
    if not candidates:
        why = f"Nothing can be compared: {failures[0].reason}" if failures else "Nothing to compare. Name models."
        raise DataError(why)
    cases = [
        [check_cases(labels, rows, patients, classes, has_reference=has_reference) for rows in each.probabilities]
        for each in candidates
    ]
    standings = [_standing(each, own, resamples) for each, own in zip(candidates, cases, strict=True)]
    first, *others = sorted(range(len(cases)), key=lambda i: _merit(standings[i]), reverse=True)
    differences = correct([paired_difference(cases[first], cases[i], resamples) for i in others])
    ranked = [replace(standings[i], difference=each) for i, each in zip(others, differences, strict=True)]
    n_patients = count_patients(patients)
    return Comparison(
        len(cases[first][0].labels), n_patients, tuple(classes), (standings[first], *ranked), tuple(failures)
    )


def _merit(standing: Standing) -> tuple[float, float]:
    return tuple(-1.0 if each.value is None else each.value for each in (standing.auroc, standing.accuracy))  # type: ignore[return-value]


def _standing(candidate: Candidate, cases: Sequence[Cases], resamples: int) -> Standing:
    area = mean([auroc_metric(each) for each in cases])
    calls = [_calls(cases, threshold, name) for threshold in THRESHOLDS for name in CALLS]
    f1 = mean([_mean_f1(each) for each in cases])
    metrics = [area, mean([_accuracy(each) for each in cases]), f1, *calls]
    auroc, accuracy, mean_f1, *called = estimates(metrics, cases[0].patients, resamples=resamples)
    if not cases[0].has_reference:
        called = [Estimate(None, reason=NO_REFERENCE)] * len(called)
    at = [
        AtThreshold(threshold, *called[i * len(CALLS) : (i + 1) * len(CALLS)]) for i, threshold in enumerate(THRESHOLDS)
    ]
    return Standing(
        name=candidate.name,
        seeds=candidate.seeds,
        cost=candidate.cost,
        auroc=auroc,
        accuracy=accuracy,
        sensitivity=at[0].sensitivity,
        specificity=at[0].specificity,
        f1=at[0].f1 if len(cases[0].classes) == 2 else mean_f1,
        auroc_by_seed=() if auroc.value is None else tuple(float(auroc_metric(each)(None)) for each in cases),
        thresholds=tuple(at) if cases[0].has_reference else (),
        roc=_roc(cases) if cases[0].has_reference else None,
    )


def _accuracy(cases: Cases) -> Metric:
    right = (cases.decided == cases.labels).astype(np.float64)
    return lambda weights: float(right.mean()) if weights is None else weights @ right / weights.sum(-1)


def _calls(cases: Sequence[Cases], threshold: float, name: str) -> Metric:
    """A metric of the calls at a threshold on p_abnormal, averaged over seeds."""
    called = [each.p_abnormal.astype(np.float32) >= np.float32(threshold) for each in cases]
    estimate: Callable[[Counts], Ratio] = lambda counts: getattr(counts, name)  # noqa: E731
    truth = cases[0].diseased
    return mean([_of_counts(truth, each, estimate, EMPTY[name]) for each in called])


EMPTY = {
    "sensitivity": "no positive case", "specificity": "no negative case", "ppv": "no case was called positive",
    "f1": "no case is positive or was called so",
}  # fmt: skip


def _of_counts(
    truth: NDArray[np.bool_], called: NDArray[np.bool_], estimate: Callable[[Counts], Ratio], empty: str
) -> Metric:
    def value(weights: Weights | None) -> Ratio:
        found = estimate(count(truth, called, weights))
        if weights is None and np.isnan(found):
            raise UndefinedEstimate(empty)
        return found

    return value


def _mean_f1(cases: Cases) -> Metric:
    return mean(
        [
            _of_counts(cases.labels == k, cases.decided == k, lambda counts: counts.f1, f"no case is {name}")
            for k, name in enumerate(cases.classes)
        ]
    )


def _roc(cases: Sequence[Cases]) -> MeanRoc | None:
    try:
        for each in cases:
            require_spread(each.p_abnormal)
        curves = [roc_curve(each.diseased, each.p_abnormal) for each in cases]
    except UndefinedEstimate:
        return None
    if len(curves) == 1:
        return MeanRoc(curves[0].false_positive_rate, curves[0].sensitivity)
    found = [np.interp(GRID, curve.false_positive_rate, curve.sensitivity) for curve in curves]
    return MeanRoc(GRID, np.mean(found, axis=0))
