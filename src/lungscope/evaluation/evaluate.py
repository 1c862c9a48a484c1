"""How good a model is on labelled images: every figure with its interval, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.evaluation.cases import Cases, check_cases, mean
from lungscope.evaluation.curves import Curves, trace
from lungscope.evaluation.recalibration import RecalibrationEstimates, recalibration_estimates
from lungscope.stats.bootstrap import RESAMPLES, CountEstimates, Metric, count_metrics, estimates, with_counts
from lungscope.stats.metrics import Estimate, confusion_matrix
from lungscope.stats.operating_points import OperatingPoint, predictive_values
from lungscope.stats.patients import Patients, patient_index
from lungscope.stats.proportion import proportion

FORMAT = 1
DECIMALS = 6
OVERALL = (
    "prevalence", "auroc", "average_precision", "p_abnormal_auroc", "accuracy", "balanced_accuracy", "brier", "ece",
)  # fmt: skip
AT_A_POINT = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy", "balanced_accuracy")
NO_REFERENCE = Estimate(None, reason="no class is the reference")

Confusion = NDArray[np.int64]
"""(K, K) cases, row the true class, column the one decided for."""


@dataclass(frozen=True)
class ModelReference:
    """Which model was evaluated, and how it was run."""

    sha256: str
    recipe: str
    """The recipe's name."""
    runtime: str
    precision: str


@dataclass(frozen=True)
class PointEstimates:
    """What an operating point does on these data."""

    point: OperatingPoint
    estimates: CountEstimates
    """PPV and NPV are at the prevalence of these data."""
    ppv_expected: Estimate | None
    npv_expected: Estimate | None
    """At the prevalence that was entered; None when none was."""
    confusion: Confusion


@dataclass(frozen=True)
class ClassEstimates:
    """One class against all others, decided for where it is the likeliest."""

    name: str
    support: int
    """Cases of this class."""
    auroc: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class Evaluation:
    """Every figure of one model on one set of labelled images.

    With two classes AUROC and average precision are those of the second class; with more they are
    unweighted means over the classes, each against all others. p_abnormal is the probability of not being
    of the reference class, the first; everything about it is None or undefined when no class is one.
    """

    n: int
    patients: int
    classes: tuple[str, ...]
    prevalence: Estimate
    """Share of cases that are not of the reference class."""
    expected_prevalence: float | None
    """Where the model will be used, as entered."""
    auroc: Estimate
    average_precision: Estimate
    p_abnormal_auroc: Estimate
    accuracy: Estimate
    balanced_accuracy: Estimate
    """Both with the likeliest class as the decision; the second is the mean recall of the classes."""
    brier: Estimate
    ece: Estimate
    recalibration: RecalibrationEstimates
    """Of p_abnormal."""
    operating_points: tuple[PointEstimates, ...]
    confusion: Confusion
    """With the likeliest class as the decision."""
    per_class: tuple[ClassEstimates, ...]
    curves: Curves | None
    """Of p_abnormal."""


def evaluate(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: Patients,
    classes: Sequence[str],
    operating_points: Sequence[OperatingPoint],
    *,
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Measure discrimination, calibration and every operating point.

    Proportions carry Wilson intervals widened for several images per patient, AUROCs DeLong's, slope and
    intercepts those of clustered scores; everything else comes from drawing patients with replacement.

    Args:
        labels: (N,), class indices.
        probabilities: (N, K), calibrated; rows sum to 1.
        patients: (N,), whose each row is.
        classes: K names; the first is the reference.
        operating_points: thresholds on p_abnormal, chosen on other data. With more than two classes none
            means that no class is the reference.
        prevalence: share of diseased where the model will be used, between 0 and 1.
        resamples: number of draws of patients.
        seed: of the draws.

    Raises:
        DataError: no case, a probability that is none, or columns that do not fit.
        ConfigError: the prevalence is not between 0 and 1.
    """
    if prevalence is not None:
        predictive_values(0.5, 0.5, prevalence)  # refuses one outside 0..1
    cases = check_cases(labels, probabilities, patients, classes)
    return _measure(cases, tuple(operating_points), prevalence, resamples, seed)


def evaluation_json(evaluation: Evaluation, model: ModelReference, data_fingerprint: str) -> dict[str, Any]:
    """The content of `evaluation.json`: a stable format, keys in a fixed order, six decimals, finite numbers.

    Every figure is `{"value", "ci95": [low, high]}`. Where there is no value or no interval it is null and a
    `reason` says why.

    Args:
        evaluation: from `evaluate`.
        model: which model was evaluated, and how it was run.
        data_fingerprint: of the manifest.
    """
    return {
        "format": FORMAT,
        "n": evaluation.n,
        "classes": list(evaluation.classes),
        "support": {each.name: each.support for each in evaluation.per_class},
        **{name: estimate_json(getattr(evaluation, name)) for name in OVERALL},
        **{
            f"calibration_{name}": estimate_json(getattr(evaluation.recalibration, name))
            for name in ("slope", "intercept", "in_the_large")
        },
        "operating_points": {each.point.name: _point_json(each) for each in evaluation.operating_points},
        "expected_prevalence": evaluation.expected_prevalence,
        "confusion_matrix": evaluation.confusion.tolist(),
        "per_class": {
            each.name: {
                "support": each.support,
                **{
                    name: estimate_json(getattr(each, name))
                    for name in ("auroc", "precision", "recall", "f1")
                },
            }
            for each in evaluation.per_class
        },
        "model": asdict(model),
        "data": {"fingerprint": data_fingerprint, "patients": evaluation.patients},
    }


def _measure(
    cases: Cases, points: tuple[OperatingPoint, ...], prevalence: float | None, resamples: int, seed: int
) -> Evaluation:
    referenced = len(cases.classes) == 2 or bool(points)
    calls = [point.is_positive(cases.p_abnormal) for point in points]
    found = _drawn(_metrics(cases, calls, prevalence), cases.patients, resamples, seed)
    at_points = [_point(cases, point, calls[i], found, i) for i, point in enumerate(points)]
    return Evaluation(
        n=len(cases.labels),
        patients=len(np.unique(patient_index(cases.patients))),
        classes=cases.classes,
        prevalence=proportion(cases.diseased, cases.patients) if referenced else NO_REFERENCE,
        expected_prevalence=prevalence,
        auroc=cases.area(1) if len(cases.classes) == 2 else found["auroc"],
        average_precision=found["average_precision"],
        p_abnormal_auroc=cases.p_abnormal_area() if referenced else NO_REFERENCE,
        accuracy=proportion(cases.labels == cases.decided, cases.patients),
        balanced_accuracy=found["balanced_accuracy"],
        brier=found["brier"],
        ece=found["ece"],
        recalibration=_recalibration(cases, referenced),
        operating_points=tuple(at_points),
        confusion=confusion_matrix(cases.labels, cases.decided, len(cases.classes)),
        per_class=tuple(_class(cases, k, found) for k in range(len(cases.classes))),
        curves=_curves(cases, resamples, seed) if referenced else None,
    )


def _drawn(metrics: dict[str, Metric], patients: Patients, resamples: int, seed: int) -> dict[str, Estimate]:
    """All metrics from the same draws, which are made once."""
    return dict(
        zip(metrics, estimates(list(metrics.values()), patients, resamples=resamples, seed=seed), strict=True)
    )


def _metrics(cases: Cases, calls: Sequence[NDArray[np.bool_]], prevalence: float | None) -> dict[str, Metric]:
    found = {
        **({} if len(cases.classes) == 2 else {"auroc": mean(cases.areas())}),
        "average_precision": mean(cases.precisions()),
        "balanced_accuracy": cases.balanced_accuracy(),
        "brier": cases.brier(),
        "ece": cases.ece(),
    }
    for k in range(len(cases.classes)):
        f1, _ = count_metrics(cases.labels == k, cases.decided == k)
        found[f"f1 of {k}"] = f1
    for i, called in enumerate(calls):
        f1, balanced = count_metrics(cases.diseased, called)
        found |= {f"f1 at {i}": f1, f"balanced at {i}": balanced}
        if prevalence is not None:
            ppv, npv = cases.predictive_values(called, prevalence)
            found |= {f"ppv at {i}": ppv, f"npv at {i}": npv}
    return found


def _point(
    cases: Cases, point: OperatingPoint, called: NDArray[np.bool_], found: dict[str, Estimate], i: int
) -> PointEstimates:
    finding = np.where(called, 1 + cases.probabilities[:, 1:].argmax(axis=1), 0)
    drawn = (found[f"f1 at {i}"], found[f"balanced at {i}"])
    return PointEstimates(
        point=point,
        estimates=with_counts(cases.diseased, called, cases.patients, *drawn),
        ppv_expected=found.get(f"ppv at {i}"),
        npv_expected=found.get(f"npv at {i}"),
        confusion=confusion_matrix(cases.labels, finding, len(cases.classes)),
    )


def _class(cases: Cases, k: int, found: dict[str, Estimate]) -> ClassEstimates:
    truth, called, names = cases.labels == k, cases.decided == k, cases.patients
    return ClassEstimates(
        cases.classes[k],
        int(truth.sum()),
        cases.area(k),
        precision=proportion(truth[called], names[called], empty="no case was called positive"),
        recall=proportion(called[truth], names[truth], empty="no positive case"),
        f1=found[f"f1 of {k}"],
    )


def _recalibration(cases: Cases, referenced: bool) -> RecalibrationEstimates:
    if not referenced:
        return RecalibrationEstimates(NO_REFERENCE, NO_REFERENCE, NO_REFERENCE)
    return recalibration_estimates(cases.diseased, cases.p_abnormal, cases.patients)


def _curves(cases: Cases, resamples: int, seed: int) -> Curves:
    return trace(
        cases.diseased, cases.p_abnormal, cases.labels, cases.patients, len(cases.classes),
        resamples=resamples, seed=seed,
    )  # fmt: skip


def _point_json(each: PointEstimates) -> dict[str, Any]:
    counts, point = each.estimates.counts, each.point
    expected = {"ppv_expected": each.ppv_expected, "npv_expected": each.npv_expected}
    return {
        "threshold": point.threshold,
        "goal": point.goal,
        "note": point.note,
        **{name: estimate_json(getattr(each.estimates, name)) for name in AT_A_POINT},
        **{name: estimate_json(estimate) for name, estimate in expected.items() if estimate},
        "counts": asdict(counts),
        "confusion_matrix": each.confusion.tolist(),
        "when_chosen": {name: estimate_json(getattr(point, name)) for name in ("sensitivity", "specificity")},
    }


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """A figure as it stands in evaluation.json: value, ci95, and the reason where something is missing."""
    given = estimate.low is not None and estimate.high is not None
    return {
        "value": _rounded(estimate.value),
        "ci95": [_rounded(estimate.low), _rounded(estimate.high)] if given else None,
        **({"reason": estimate.reason} if estimate.reason else {}),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
