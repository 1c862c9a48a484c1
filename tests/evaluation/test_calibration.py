"""Probabilities before and after calibration, and corrected for prevalence."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from lungscope.bundle.card import Calibration, Card
from lungscope.bundle.validation_summary import summarise
from lungscope.errors import BundleError
from lungscope.evaluation.calibration import calibration_effect
from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.prevalence import adapt_to
from lungscope.reports.sections.calibration import calibration_section
from lungscope.reports.sections.prevalence import adaptation_section
from lungscope.stats.candidate import CalibrationCandidate
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint

CLASSES = ("NORMAL", "PNEUMONIA")
TRIED = (CalibrationCandidate("none", 0.6, 0.2, 0.05), CalibrationCandidate("platt", 0.4, 0.0, 0.0))
CALIBRATION = Calibration("platt", 0.4, (0.0, 0.3), TRIED, "the lowest log loss")


def softmax(logits):
    steep = np.exp(logits)
    return steep / steep.sum(axis=1, keepdims=True)


def draw(n=700, share=0.5, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(int)
    z = (2.0 * rng.normal(2.0 * labels, 1) - 2.0 - 0.3) / 0.4
    logits = np.column_stack([-z / 2, z / 2]).astype(np.float32)
    return labels, logits, softmax(0.4 * logits + np.array([0, 0.3]))


def card(**changes):
    labels, _, columns = draw(seed=1)
    estimate = Estimate(0.9, 0.8, 0.95)
    kept = summarise(columns[:, 1], np.zeros((700, 8), np.float32), labels > 0)
    point = OperatingPoint("half", "0.5", 0.5, estimate, estimate)
    made = Card(CLASSES, 64, (point,), CALIBRATION, "", "t", {}, {}, validation=kept)
    return replace(made, **changes)


def test_before_is_the_networks_own_and_after_the_bundles():
    labels, logits, columns = draw()
    effect = calibration_effect(check_cases(labels, columns, np.arange(700), CLASSES), logits, CALIBRATION)
    raw = softmax(logits.astype(float))
    assert effect.before.brier.value == pytest.approx(brier_score_loss(labels, raw[:, 1]))
    assert effect.before.log_loss.value == pytest.approx(log_loss(labels, raw), rel=1e-4)
    assert effect.after.brier.value == pytest.approx(brier_score_loss(labels, columns[:, 1]), rel=1e-5)
    assert effect.before.recalibration.slope.value == pytest.approx(0.4, rel=0.2)
    assert effect.after.recalibration.slope.low < 1 < effect.after.recalibration.slope.high
    assert effect.after.ece.value < effect.before.ece.value


def test_the_section_shows_both_and_what_was_tried():
    labels, logits, columns = draw()
    effect = calibration_effect(check_cases(labels, columns, np.arange(700), CLASSES), logits, CALIBRATION)
    section = calibration_section(effect)
    assert "Platt scaling" in section.lead
    assert "lowest log loss" in section.lead
    assert [table.caption for table in section.tables] == ["Calibration", "Methods tried on validation"]
    assert section.tables[1].rows[1][2] == "best"
    ids = [plot.svg.split('id="')[1].split('"')[0] for plot in section.plots]
    assert len(set(ids)) == 2


def test_one_class_keeps_what_is_defined_and_explains_the_rest():
    _, logits, columns = draw(60)
    cases = check_cases(np.ones(60, int), columns, np.arange(60), CLASSES)
    effect = calibration_effect(cases, logits, CALIBRATION)
    assert effect.after.brier.value is not None
    assert effect.after.recalibration.slope.value is None
    assert "no negative case" in effect.after.recalibration.slope.reason


def test_the_correction_stands_beside_the_uncorrected():
    labels, _, columns = draw(1500, 0.12, seed=2)
    found = adapt_to(check_cases(labels, columns, np.arange(1500), CLASSES), card())
    assert found.shift.refused == ""
    assert found.shift.shares[1].low < labels.mean() < found.shift.shares[1].high
    assert found.corrected.brier.value < found.uncorrected.brier.value
    assert (
        abs(found.corrected.recalibration.in_the_large.value)
        < 0.4
        < abs(found.uncorrected.recalibration.in_the_large.value)
    )
    assert found.calls[1].specificity.value > found.calls[0].specificity.value
    assert found.actual[1] == pytest.approx(labels.mean())
    assert adaptation_section(found).tables[0].caption == "Share of each class"


def test_few_cases_are_refused_and_only_the_uncorrected_is_shown():
    labels, _, columns = draw(30, seed=3)
    found = adapt_to(check_cases(labels, columns, np.arange(30), CLASSES), card())
    assert found.corrected is None
    assert "30 patients are too few" in adaptation_section(found).warnings[0]


def test_a_bundle_without_its_prevalence_is_refused():
    labels, _, columns = draw(100)
    with pytest.raises(BundleError, match="Train it again"):
        adapt_to(check_cases(labels, columns, np.arange(100), CLASSES), card(validation=None))
