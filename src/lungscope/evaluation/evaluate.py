"""How good a model is on labelled images: every estimate with its interval, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungscope.evaluation.cases import Cases, mean
from lungscope.evaluation.curves import Curves, trace
from lungscope.evaluation.recalibration import RecalibrationEstimates, recalibration_estimates
from lungscope.stats.estimate import Estimate
from lungscope.stats.metrics import confusion_matrix
from lungscope.stats.operating_points import OperatingPoint, predictive_values
from lungscope.stats.patients import Patients, count_patients
from lungscope.stats.proportion import proportion
from lungscope.stats.resampling import RESAMPLES, CountEstimates, Metric, count_metrics, estimates, with_counts

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
    """Every estimate of one model on one set of labelled images.

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
    cases: Cases,
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
        cases: from `check_cases`.
        operating_points: thresholds on p_abnormal, chosen on other data.
        prevalence: share of diseased where the model will be used, between 0 and 1.
        resamples: number of draws of patients.
        seed: of the draws.

    Raises:
        ConfigError: the prevalence is not between 0 and 1.
    """
    if prevalence is not None:
        predictive_values(0.5, 0.5, prevalence)  # refuses one outside 0..1
    calls = [point.is_positive(cases.p_abnormal) for point in operating_points]
    found = _drawn(_metrics(cases, calls, prevalence), cases.patients, resamples, seed)
    return Evaluation(
        n=len(cases.labels),
        patients=count_patients(cases.patients),
        classes=cases.classes,
        prevalence=proportion(cases.diseased, cases.patients) if cases.has_reference else NO_REFERENCE,
        expected_prevalence=prevalence,
        auroc=cases.area(1) if len(cases.classes) == 2 else found["auroc"],
        average_precision=found["average_precision"],
        p_abnormal_auroc=cases.p_abnormal_area() if cases.has_reference else NO_REFERENCE,
        accuracy=proportion(cases.labels == cases.decided, cases.patients),
        balanced_accuracy=found["balanced_accuracy"],
        brier=found["brier"],
        ece=found["ece"],
        recalibration=recalibrated(cases),
        operating_points=tuple(_point(cases, point, calls[i], found, i) for i, point in enumerate(operating_points)),
        confusion=confusion_matrix(cases.labels, cases.decided, len(cases.classes)),
        per_class=tuple(_class(cases, k, found) for k in range(len(cases.classes))),
        curves=_curves(cases, resamples, seed) if cases.has_reference else None,
    )


def _drawn(metrics: dict[str, Metric], patients: Patients, resamples: int, seed: int) -> dict[str, Estimate]:
    """All metrics from the same draws, which are made once."""
    return dict(zip(metrics, estimates(list(metrics.values()), patients, resamples=resamples, seed=seed), strict=True))


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


def recalibrated(cases: Cases) -> RecalibrationEstimates:
    """Of p_abnormal; undefined where no class is the reference."""
    if not cases.has_reference:
        return RecalibrationEstimates(NO_REFERENCE, NO_REFERENCE, NO_REFERENCE)
    return recalibration_estimates(cases.diseased, cases.p_abnormal, cases.patients)


def _curves(cases: Cases, resamples: int, seed: int) -> Curves:
    return trace(
        cases.diseased, cases.p_abnormal, cases.labels, cases.patients, len(cases.classes),
        resamples=resamples, seed=seed,
    )  # fmt: skip
