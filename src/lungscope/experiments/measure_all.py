"""The statistical sections of a report, with their data for `evaluation.json` and what a terminal should say."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Card
from lungscope.data.manifest import Manifest
from lungscope.errors import UndefinedEstimate
from lungscope.evaluation.calibration import calibration_effect, calibration_json, calibration_section
from lungscope.evaluation.cases import Cases, check_cases
from lungscope.evaluation.decision_curve import DecisionCurve, decision_curve, decision_json, decision_section
from lungscope.evaluation.evaluate import Evaluation
from lungscope.evaluation.prevalence import Adaptation, adapt_to, adaptation_json, adaptation_section
from lungscope.evaluation.shift import measure_shift, shift_json, shift_section
from lungscope.evaluation.skipped import Skipped
from lungscope.evaluation.subgroups import measure_subgroups, subgroups_json, subgroups_section
from lungscope.inference.predictor import Predictions
from lungscope.reports.section import Section


@dataclass(frozen=True)
class Topics:
    """Sections, the further keys of `evaluation.json`, and warnings."""

    sections: tuple[Section, ...]
    document: dict[str, Any]
    warnings: tuple[str, ...]
    """Of a shift against validation, for the terminal."""
    adaptation: Adaptation | None


def study(
    evaluation: Evaluation,
    chosen: Manifest,
    predictions: Predictions,
    card: Card,
    *,
    split: str,
    adapt_prior: bool = False,
) -> Topics:
    """Measure calibration, decisions, change against validation, subgroups and, if asked, another prevalence.

    Args:
        evaluation: of these predictions.
        chosen: the N images.
        predictions: of them, with embeddings.
        card: of the bundle.
        split: what was evaluated; validation is not compared with itself.
        adapt_prior: whether to correct for the prevalence that the data suggest.

    Raises:
        BundleError: the correction is asked for and the bundle does not keep what it needs.
    """
    cases = check_cases(chosen.labels, predictions.probabilities, chosen.patients, card.classes)
    referenced = len(card.classes) == 2 or bool(card.operating_points)
    sections: list[Section] = []
    document: dict[str, Any] = {}
    warnings: tuple[str, ...] = ()
    if card.validation and split != "validation" and predictions.embeddings is not None:
        shift = measure_shift(evaluation, _p_abnormal(cases, card), predictions.embeddings, card.validation)
        sections.append(shift_section(shift))
        document |= shift_json(shift)
        warnings = shift.warnings
    effect = calibration_effect(
        chosen.labels, predictions.logits, predictions.probabilities, chosen.patients, card.classes, card.calibration,
        referenced=referenced,
    )  # fmt: skip
    sections.append(calibration_section(effect))
    document |= calibration_json(effect)
    if referenced:
        curve = decisions(cases)
        known, reason = (None, curve.reason) if isinstance(curve, Skipped) else (curve, "")
        sections.append(decision_section(known, reason))
        document |= decision_json(known, reason)
    if chosen.extra:
        groups = measure_subgroups(
            cases, chosen.extra, card.operating_points[0] if card.operating_points else None
        )
        sections.append(subgroups_section(groups))
        document |= subgroups_json(groups)
    adaptation = adapt_to(cases, card) if adapt_prior else None
    if adaptation:
        sections.append(adaptation_section(adaptation))
        document |= adaptation_json(adaptation)
    return Topics(tuple(sections), document, warnings, adaptation)


def decisions(cases: Cases) -> DecisionCurve | Skipped:
    """The decision curve, or why there is none."""
    try:
        return decision_curve(cases.diseased, cases.p_abnormal, cases.patients)
    except UndefinedEstimate as error:
        return Skipped(str(error))


def _p_abnormal(cases: Cases, card: Card) -> NDArray[np.float64]:
    """As the card's reference counts it."""
    likeliest: NDArray[np.float64] = cases.probabilities.max(axis=1)
    return cases.p_abnormal if card.operating_points else likeliest
