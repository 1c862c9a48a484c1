"""Probabilities corrected for the prevalence that the data themselves suggest, beside the uncorrected."""

from dataclasses import dataclass, replace

import numpy as np

from lungscope.bundle.card import Card
from lungscope.evaluation.calibration import CalibrationEstimates, measure_calibration
from lungscope.evaluation.cases import Cases
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint
from lungscope.stats.prevalence_shift import LabelShift, examine
from lungscope.stats.proportion import proportion

CALLS = ("sensitivity", "specificity", "ppv", "accuracy")


@dataclass(frozen=True)
class Calls:
    """What the default operating point does with probabilities of one kind."""

    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    accuracy: Estimate


@dataclass(frozen=True)
class Adaptation:
    """Calibration and calls with and without the correction."""

    classes: tuple[str, ...]
    prior: tuple[float, ...]
    """(K,), that the model was calibrated for."""
    actual: tuple[float, ...]
    """(K,), by the labels of these data, which the estimate does not see."""
    shift: LabelShift
    uncorrected: CalibrationEstimates
    corrected: CalibrationEstimates | None
    """None where there is no estimate."""
    calls: tuple[Calls, ...]
    """Uncorrected and, where there is one, corrected; empty without an operating point."""


def adapt_to(cases: Cases, card: Card) -> Adaptation:
    """Estimate the prevalence of cases without their labels, correct for it, and measure both ways.

    Args:
        cases: of the bundle's classes, with its probabilities.
        card: of the bundle.

    Raises:
        BundleError: the bundle does not keep the prevalence it was calibrated for.
    """
    prior = card.prior
    shift = examine(cases.probabilities, prior, cases.patients, card.validation_scores())
    columns = [cases]
    if shift.adapted:
        columns.append(replace(cases, probabilities=shift.adapted.probabilities))
    measured = [
        measure_calibration(name, each) for name, each in zip(("Uncorrected", "Corrected"), columns, strict=False)
    ]
    return Adaptation(
        classes=cases.classes,
        prior=prior,
        actual=tuple(float(share) for share in np.bincount(cases.labels, minlength=len(prior)) / len(cases.labels)),
        shift=shift,
        uncorrected=measured[0],
        corrected=measured[1] if shift.adapted else None,
        calls=tuple(_calls(each, card.operating_points[0]) for each in columns) if card.operating_points else (),
    )


def _calls(cases: Cases, point: OperatingPoint) -> Calls:
    truth, called, names = cases.diseased, point.is_positive(cases.p_abnormal), cases.patients
    return Calls(
        sensitivity=proportion(called[truth], names[truth], empty="no positive case"),
        specificity=proportion(~called[~truth], names[~truth], empty="no negative case"),
        ppv=proportion(truth[called], names[called], empty="no case was called positive"),
        accuracy=proportion(truth == called, names, empty="no case"),
    )
