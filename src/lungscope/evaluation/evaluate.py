"""How good a model is on labelled images: every figure with its interval, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.evaluation.cases import Cases, check_cases, mean
from lungscope.evaluation.curves import Curves, trace
from lungscope.evaluation.recalibration import RecalibrationFigures, recalibration_figures
from lungscope.stats.bootstrap import RESAMPLES, CountFigures, Metric, count_figures, figures
from lungscope.stats.metrics import Figure, confusion_matrix
from lungscope.stats.operating import OperatingPoint, predictive_values
from lungscope.stats.patients import Patients, patient_index
from lungscope.stats.proportion import proportion

FORMAT = 1
DECIMALS = 6
OVERALL = (
    "prevalence", "auroc", "average_precision", "suspicion_auroc", "accuracy", "balanced_accuracy", "brier", "ece",
)  # fmt: skip
AT_A_POINT = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy", "balanced_accuracy")
NO_REFERENCE = Figure(None, reason="no class is the reference")

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
class _Draws:
    """How patients are drawn, the same for every figure."""

    resamples: int
    seed: int

    def figures(self, metrics: Sequence[Metric], patients: Patients) -> tuple[Figure, ...]:
        return figures(metrics, patients, resamples=self.resamples, seed=self.seed)

    def count_figures(
        self, truth: NDArray[np.bool_], called: NDArray[np.bool_], patients: Patients
    ) -> CountFigures:
        return count_figures(truth, called, patients, resamples=self.resamples, seed=self.seed)


@dataclass(frozen=True)
class PointFigures:
    """What an operating point does on these data."""

    point: OperatingPoint
    figures: CountFigures
    """PPV and NPV are at the prevalence of these data."""
    ppv_expected: Figure | None
    npv_expected: Figure | None
    """At the prevalence that was entered; None when none was."""
    confusion: Confusion


@dataclass(frozen=True)
class ClassFigures:
    """One class against all others, decided for where it is the likeliest."""

    name: str
    support: int
    """Cases of this class."""
    auroc: Figure
    precision: Figure
    recall: Figure
    f1: Figure


@dataclass(frozen=True)
class Evaluation:
    """Every figure of one model on one set of labelled images.

    With two classes AUROC and average precision are those of the second class; with more they are
    unweighted means over the classes, each against all others. Suspicion is the probability of not being
    of the reference class, the first; everything about it is None or undefined when no class is one.
    """

    n: int
    patients: int
    classes: tuple[str, ...]
    prevalence: Figure
    """Share of cases that are not of the reference class."""
    expected_prevalence: float | None
    """Where the model will be used, as entered."""
    auroc: Figure
    average_precision: Figure
    suspicion_auroc: Figure
    accuracy: Figure
    balanced_accuracy: Figure
    """Both with the likeliest class as the decision; the second is the mean recall of the classes."""
    brier: Figure
    ece: Figure
    recalibration: RecalibrationFigures
    """Of suspicion."""
    operating_points: tuple[PointFigures, ...]
    confusion: Confusion
    """With the likeliest class as the decision."""
    per_class: tuple[ClassFigures, ...]
    curves: Curves | None
    """Of suspicion."""


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

    Proportions carry Wilson intervals widened for several images per patient, slope and intercepts robust
    Wald ones, everything else comes from drawing patients with replacement.

    Args:
        labels: (N,), class indices.
        probabilities: (N, K), calibrated; rows sum to 1.
        patients: (N,), whose each row is.
        classes: K names; the first is the reference.
        operating_points: thresholds on suspicion, chosen on other data. With more than two classes none
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
    return _measure(cases, tuple(operating_points), prevalence, _Draws(resamples, seed))


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
        **{name: _figure(getattr(evaluation, name)) for name in OVERALL},
        **{
            f"calibration_{name}": _figure(getattr(evaluation.recalibration, name))
            for name in ("slope", "intercept", "in_the_large")
        },
        "operating_points": {each.point.name: _point_json(each) for each in evaluation.operating_points},
        "expected_prevalence": evaluation.expected_prevalence,
        "confusion_matrix": evaluation.confusion.tolist(),
        "per_class": {
            each.name: {
                "support": each.support,
                **{name: _figure(getattr(each, name)) for name in ("auroc", "precision", "recall", "f1")},
            }
            for each in evaluation.per_class
        },
        "model": asdict(model),
        "data": {"fingerprint": data_fingerprint, "patients": evaluation.patients},
    }


def _measure(
    cases: Cases, points: tuple[OperatingPoint, ...], prevalence: float | None, draws: _Draws
) -> Evaluation:
    referenced = len(cases.classes) == 2 or bool(points)
    area, precision, suspicion, balanced, squared, gap, *each = draws.figures(_metrics(cases), cases.patients)
    return Evaluation(
        n=len(cases.labels),
        patients=len(np.unique(patient_index(cases.patients))),
        classes=cases.classes,
        prevalence=proportion(cases.diseased, cases.patients) if referenced else NO_REFERENCE,
        expected_prevalence=prevalence,
        auroc=area,
        average_precision=precision,
        suspicion_auroc=suspicion if referenced else NO_REFERENCE,
        accuracy=proportion(cases.labels == cases.decided, cases.patients),
        balanced_accuracy=balanced,
        brier=squared,
        ece=gap,
        recalibration=_recalibration(cases, referenced),
        operating_points=tuple(_point(cases, point, prevalence, draws) for point in points),
        confusion=confusion_matrix(cases.labels, cases.decided, len(cases.classes)),
        per_class=tuple(_class(cases, k, area, draws) for k, area in enumerate(each)),
        curves=_curves(cases, draws) if referenced else None,
    )


def _metrics(cases: Cases) -> list[Metric]:
    areas, precisions = cases.areas(), cases.precisions()
    binary = len(cases.classes) == 2
    overall = [areas[1], precisions[1]] if binary else [mean(areas), mean(precisions)]
    others = [cases.suspicion_auroc(), cases.balanced_accuracy(), cases.brier(), cases.ece()]
    return [*overall, *others, *areas]


def _point(cases: Cases, point: OperatingPoint, prevalence: float | None, draws: _Draws) -> PointFigures:
    called = point.is_positive(cases.suspicion)
    finding = np.where(called, 1 + cases.probabilities[:, 1:].argmax(axis=1), 0)
    ppv = npv = None
    if prevalence is not None:
        ppv, npv = draws.figures(cases.predictive_values(called, prevalence), cases.patients)
    return PointFigures(
        point=point,
        figures=draws.count_figures(cases.diseased, called, cases.patients),
        ppv_expected=ppv,
        npv_expected=npv,
        confusion=confusion_matrix(cases.labels, finding, len(cases.classes)),
    )


def _class(cases: Cases, k: int, area: Figure, draws: _Draws) -> ClassFigures:
    truth = cases.labels == k
    found = draws.count_figures(truth, cases.decided == k, cases.patients)
    return ClassFigures(cases.classes[k], int(truth.sum()), area, found.ppv, found.sensitivity, found.f1)


def _recalibration(cases: Cases, referenced: bool) -> RecalibrationFigures:
    if not referenced:
        return RecalibrationFigures(NO_REFERENCE, NO_REFERENCE, NO_REFERENCE)
    return recalibration_figures(cases.diseased, cases.suspicion, cases.patients)


def _curves(cases: Cases, draws: _Draws) -> Curves:
    return trace(
        cases.diseased, cases.suspicion, cases.labels, cases.patients, len(cases.classes),
        resamples=draws.resamples, seed=draws.seed,
    )  # fmt: skip


def _point_json(each: PointFigures) -> dict[str, Any]:
    counts, point = each.figures.counts, each.point
    expected = {"ppv_expected": each.ppv_expected, "npv_expected": each.npv_expected}
    return {
        "threshold": point.threshold,
        "goal": point.goal,
        "note": point.note,
        **{name: _figure(getattr(each.figures, name)) for name in AT_A_POINT},
        **{name: _figure(figure) for name, figure in expected.items() if figure},
        "counts": asdict(counts),
        "confusion_matrix": each.confusion.tolist(),
        "when_chosen": {name: _figure(getattr(point, name)) for name in ("sensitivity", "specificity")},
    }


def _figure(figure: Figure) -> dict[str, Any]:
    given = figure.low is not None and figure.high is not None
    return {
        "value": _rounded(figure.value),
        "ci95": [_rounded(figure.low), _rounded(figure.high)] if given else None,
        **({"reason": figure.reason} if figure.reason else {}),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
