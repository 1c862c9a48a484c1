"""Probabilities corrected for the prevalence that the data themselves suggest, beside the uncorrected."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lungscope.bundle.bundle import Card
from lungscope.bundle.prevalence import validation_scores
from lungscope.evaluation.calibration import (
    CalibrationEstimates,
    estimates_json,
    estimates_table,
    measure_calibration,
)
from lungscope.evaluation.cases import Cases, check_cases
from lungscope.evaluation.evaluate import estimate_json
from lungscope.reports import summary
from lungscope.reports.section import Section, Table
from lungscope.stats.metrics import Estimate
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
    """Figures with and without the correction."""

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
    prior, referenced = card.prior, bool(card.operating_points)
    shift = examine(cases.probabilities, prior, cases.patients, validation_scores(card))
    columns = [cases]
    if shift.adapted:
        columns.append(check_cases(cases.labels, shift.adapted.probabilities, cases.patients, cases.classes))
    measured = [
        measure_calibration(name, each, referenced=referenced)
        for name, each in zip(("Uncorrected", "Corrected"), columns, strict=False)
    ]
    return Adaptation(
        classes=cases.classes,
        prior=prior,
        actual=tuple(
            float(share) for share in np.bincount(cases.labels, minlength=len(prior)) / len(cases.labels)
        ),
        shift=shift,
        uncorrected=measured[0],
        corrected=measured[1] if shift.adapted else None,
        calls=tuple(_calls(each, card.operating_points[0]) for each in columns) if referenced else (),
    )


def adaptation_section(found: Adaptation) -> Section:
    """The correction as a part of the report."""
    columns = [each for each in (found.uncorrected, found.corrected) if each]
    tables = [_shares_table(found), estimates_table(columns, "Calibration with and without the correction")]
    if found.calls:
        tables.append(_calls_table(found.calls))
    refused = found.shift.refused
    return Section(
        title="Corrected for prevalence",
        lead="The prevalence of these images was estimated from the probabilities alone, without their labels "
        "(expectation maximisation), and the probabilities were corrected for it. All other figures of this report are "
        "uncorrected.",
        warnings=(f"Do not use the correction: {refused}.",) if refused else (),
        tables=tuple(tables),
    )


def adaptation_json(found: Adaptation) -> dict[str, Any]:
    """The correction for `evaluation.json`."""
    fit = found.shift.fit
    both = {"uncorrected": found.uncorrected, "corrected": found.corrected}
    calls = dict(zip(both, found.calls, strict=False))
    return {
        "label_shift": {
            "calibrated_for": dict(zip(found.classes, (round(share, 6) for share in found.prior), strict=True)),
            "estimated": {
                name: estimate_json(share) for name, share in zip(found.classes, found.shift.shares, strict=True)
            },
            "actual": dict(zip(found.classes, (round(share, 6) for share in found.actual), strict=True)),
            "refused": found.shift.refused,
            "fit_p_value": None if fit is None else round(fit.p_value, 6),
            **{
                name: each and {
                    **estimates_json(each),
                    **({key: estimate_json(getattr(calls[name], key)) for key in CALLS} if name in calls else {}),
                }
                for name, each in both.items()
            },
        }
    }  # fmt: skip


def _calls(cases: Cases, point: OperatingPoint) -> Calls:
    truth, called, names = cases.diseased, point.is_positive(cases.p_abnormal), cases.patients
    return Calls(
        sensitivity=proportion(called[truth], names[truth], empty="no positive case"),
        specificity=proportion(~called[~truth], names[~truth], empty="no negative case"),
        ppv=proportion(truth[called], names[called], empty="no case was called positive"),
        accuracy=proportion(truth == called, names, empty="no case"),
    )


def _shares_table(found: Adaptation) -> Table:
    rows = tuple(
        (name, summary.percent(prior), summary.cell(share), summary.percent(actual))
        for name, prior, share, actual in zip(
            found.classes, found.prior, found.shift.shares, found.actual, strict=True
        )
    )
    return Table(
        "Share of each class",
        ("Class", "Calibrated for", "Estimated here", "By the labels"),
        rows,
        "The estimate does not see the labels; the last column shows how well it did.",
    )


def _calls_table(calls: tuple[Calls, ...]) -> Table:
    header = ("Figure", "Uncorrected", "Corrected")[: 1 + len(calls)]
    rows: tuple[tuple[str | summary.Cell, ...], ...] = tuple(
        (name, *(summary.cell(getattr(each, key)) for each in calls))
        for name, key in zip(("Sensitivity", "Specificity", "PPV", "Accuracy"), CALLS, strict=True)
    )
    return Table("At the default threshold", header, rows, "The threshold stays; the probabilities move.")
