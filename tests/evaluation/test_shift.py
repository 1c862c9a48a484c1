"""Against validation: what changed, and what is said about it."""

import numpy as np
import pytest

from lungscope.bundle.validation_summary import Validation, summarise
from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.evaluate import evaluate
from lungscope.evaluation.shift import measure_shift
from lungscope.evaluation.validation import validation_outcome
from lungscope.reports.sections.shift import shift_section, shift_warnings
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint

CLASSES = ("NORMAL", "PNEUMONIA")
POINT = OperatingPoint("half", "0.5", 0.5, Estimate(0.9), Estimate(0.9))


def draw(n, *, share=0.5, gain=2.5, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(int)
    score = rng.normal(gain * labels, 1)
    p_abnormal = 1 / (1 + np.exp(-(2.5 * score - 2.5**2 / 2)))
    return labels, np.column_stack([1 - p_abnormal, p_abnormal]), rng.normal(0, 1, (n, 64)).astype(np.float32)


def validation(n=800):
    labels, columns, embeddings = draw(n, seed=1)
    patients = np.arange(n).astype(str)
    outcome = validation_outcome(labels, columns, patients, CLASSES, has_reference=True)
    return summarise(columns[:, 1], embeddings, labels > 0, patients, outcome)


def compare(labels, columns, embeddings, then=None):
    found = evaluate(check_cases(labels, columns, np.arange(len(labels)).astype(str), CLASSES), [POINT], resamples=100)
    return measure_shift(found, columns[:, 1], embeddings, then or validation())


def test_more_of_the_same_gives_no_warning():
    shift = compare(*draw(600, seed=2))
    assert shift_warnings(shift) == ()
    assert shift.embedding < 3 * shift.by_chance
    assert shift.stability < 0.1
    assert "Nothing stands out" in shift_section(shift).lead


def test_a_model_at_chance_is_told_in_plain_words():
    labels, columns, embeddings = draw(200, gain=0.0, seed=3)
    shift = compare(labels, columns, embeddings + 2)
    assert "differs from what the model was validated on: AUROC 0.4" in shift_warnings(shift)[0]
    assert "at chance on these images: do not use it" in shift_warnings(shift)[0]
    assert "another age group, hospital or machine" in shift_warnings(shift)[1]


def test_another_prevalence_is_told_with_what_it_means():
    shift = compare(*draw(1500, share=0.1, seed=4))
    assert any("of these cases are diseased" in each and "predictive values" in each for each in shift_warnings(shift))
    prevalence = next(each for each in shift.changes if each.key == "prevalence")
    assert prevalence.then.value == pytest.approx(0.5, abs=0.05)
    assert prevalence.now.value == pytest.approx(0.1, abs=0.03)


def test_probabilities_that_are_too_extreme_are_told():
    labels, columns, embeddings = draw(900, seed=5)
    odds = 3 * np.log(columns[:, 1] / columns[:, 0])
    extreme = 1 / (1 + np.exp(-odds.clip(-15, 15)))
    shift = compare(labels, np.column_stack([1 - extreme, extreme]), embeddings)
    assert any("too extreme" in each for each in shift_warnings(shift))


def test_one_class_or_few_patients_change_nothing_into_a_claim():
    labels, columns, embeddings = draw(5, seed=6)
    assert not any("chance on these" in each for each in shift_warnings(compare(labels, columns, embeddings)))
    shift = compare(np.ones(50, int), draw(50)[1], draw(50)[2])
    area = shift.changes[0]
    assert area.now.value is None
    assert "every case is PNEUMONIA" in area.now.reason


def test_a_card_that_kept_only_its_curve_still_gives_the_auroc():
    then = validation()
    old = Validation(then.curve, then.reference)
    shift = compare(*draw(300, seed=7), then=old)
    assert shift.changes[0].then.value == pytest.approx(then.outcome.auroc.value, abs=0.005)
    assert shift.changes[2].then.reason == "the model does not keep it"
