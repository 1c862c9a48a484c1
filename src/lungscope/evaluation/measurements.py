"""Everything that is measured of one model, or of scores without a model, on one set of labelled images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungscope.bundle.card import Card
from lungscope.data.images.radiograph import Radiograph
from lungscope.data.manifest import Manifest
from lungscope.evaluation.calibration import CalibrationEffect, calibration_effect
from lungscope.evaluation.cases import Cases, check_cases
from lungscope.evaluation.decision_curve import DecisionCurve, decisions
from lungscope.evaluation.evaluate import Evaluation, evaluate
from lungscope.evaluation.heatmaps.checks import HeatChecks, check_heat
from lungscope.evaluation.input_check import InputCheckEstimates, SetEstimates, measure_input_check, measure_sets
from lungscope.evaluation.prevalence import Adaptation, adapt_to
from lungscope.evaluation.shift import Shift, measure_shift
from lungscope.evaluation.skipped import Skipped
from lungscope.evaluation.strata import Robustness, measure_strata
from lungscope.evaluation.subgroups import Subgroups, measure_subgroups
from lungscope.inference.predictions import Predictions
from lungscope.inference.predictor import Predictor
from lungscope.inference.result import ImageResult


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and how."""

    split: str = "test"
    """"train", "validation", "test" or "all"; data without any split are taken whole."""
    prevalence: float | None = None
    """Share of diseased where the model will be used, between 0 and 1."""
    runtime: str = "auto"
    precision: str = "auto"
    """Both as `choose_engine` takes them."""
    ood: Sequence[Path] = ()
    """Folders of images of another kind, which the input check should reject."""
    heat_checks: bool = True
    """Whether the heat maps are checked for the report."""
    adapt_prior: bool = False
    """Whether to correct for the prevalence that the images suggest, beside the uncorrected."""


@dataclass(frozen=True)
class Measurements:
    """An evaluation with its further measurements; None where one was not asked for or has nothing to measure."""

    evaluation: Evaluation
    shift: Shift | None = None
    """Against validation; None for validation itself and for models that keep nothing of it."""
    calibration: CalibrationEffect | None = None
    decision_curve: DecisionCurve | Skipped | None = None
    """None where no class is the reference."""
    subgroups: Subgroups | None = None
    """None for data without further columns."""
    adaptation: Adaptation | None = None
    input_check: InputCheckEstimates | None = None
    """None for models without an input check."""
    prediction_sets: tuple[SetEstimates, ...] = ()
    heatmaps: HeatChecks | None = None
    strata: Robustness | None = None


def measure_all(
    predictor: Predictor,
    chosen: Manifest,
    images: Sequence[Radiograph],
    results: Sequence[ImageResult],
    options: EvaluationOptions,
) -> Measurements:
    """Measure everything that these images and this model allow.

    Args:
        predictor: of the model.
        chosen: the N images.
        images: these, as read.
        results: of them, with heat maps and embeddings.
        options: what is asked for.

    Raises:
        BundleError: the correction for prevalence is asked for and the bundle does not keep what it needs.
        ManifestError: no image in a folder of `ood`, or a table of marked places makes no sense.
        ConfigError: the prevalence is not between 0 and 1.
    """
    card, predictions = predictor.card, Predictions.of(results)
    cases = check_cases(
        chosen.labels, predictions.probabilities, chosen.patients, card.classes,
        has_reference=card.has_reference,
    )  # fmt: skip
    point = card.operating_points[0] if card.operating_points else None
    evaluation = evaluate(cases, card.operating_points, prevalence=options.prevalence)
    return Measurements(
        evaluation,
        shift=None if options.split == "validation" else _shift(evaluation, cases, predictions, card),
        calibration=calibration_effect(cases, predictions.logits, card.calibration),
        decision_curve=decisions(cases) if cases.has_reference else None,
        subgroups=measure_subgroups(cases, chosen.extra, point) if chosen.extra else None,
        adaptation=adapt_to(cases, card) if options.adapt_prior else None,
        input_check=measure_input_check(predictor, chosen, images, results, options.ood),
        prediction_sets=measure_sets(predictor, chosen, predictions),
        heatmaps=check_heat(chosen, np.stack([image.pixels for image in images]), predictions, predictor)
        if options.heat_checks
        else None,
        strata=measure_strata(card, chosen, predictions.probabilities),
    )


def _shift(evaluation: Evaluation, cases: Cases, predictions: Predictions, card: Card) -> Shift | None:
    if card.validation is None or predictions.embeddings is None:
        return None
    scores = card.ranking_score(cases.probabilities)
    return measure_shift(evaluation, scores, predictions.embeddings, card.validation)
