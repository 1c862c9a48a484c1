"""Prevalence from unlabelled data: the estimate, its interval, and when it is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from lungscope.errors import DataError
from lungscope.stats.prevalence_shift import class_scores, examine, mixture_fit
from lungscope.stats.prior_correction import adapt, shift_prior

SHIFT = 2.0


def draw(n, share, seed=0, *, moved=0.0, gain=SHIFT):
    """Probabilities calibrated for one half, of data with another share; `moved` breaks the assumption."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < share
    score = rng.normal(gain * labels + moved, 1)
    p_abnormal = expit(gain * score - gain**2 / 2)
    return labels, np.column_stack([1 - p_abnormal, p_abnormal])


def validation(n=2000, seed=9):
    labels, columns = draw(n, 0.5, seed)
    thresholds = np.concatenate([[0.0], np.quantile(columns[:, 1], np.linspace(0.005, 0.995, 199)), [1.01]])
    found, alarms = columns[labels, 1], columns[~labels, 1]
    sensitivity = np.array([(found >= t).mean() for t in thresholds])
    specificity = np.array([(alarms < t).mean() for t in thresholds])
    return class_scores(thresholds, sensitivity, specificity, int(labels.sum()), int((~labels).sum()))


def test_the_share_is_found_and_its_interval_holds_it():
    _, columns = draw(3000, 0.15)
    found = examine(columns, [0.5, 0.5], np.arange(3000), validation())
    assert found.refused == ""
    assert found.shares[1].value == pytest.approx(0.15, abs=0.03)
    assert found.shares[1].low < 0.15 < found.shares[1].high
    assert found.shares[0].value + found.shares[1].value == pytest.approx(1)


def test_intervals_cover_the_true_share():
    hits = []
    for seed in range(120):
        _, columns = draw(200, 0.3, seed)
        share = examine(columns, [0.5, 0.5], np.arange(200), resamples=200).shares[1]
        hits.append(share.low <= 0.3 <= share.high)
    # Binomial: 120 intervals that cover 95 in 100 hold it between 107 and 119 times.
    assert 107 <= sum(hits) <= 120


def test_the_corrected_probabilities_are_calibrated():
    labels, columns = draw(20_000, 0.1, 3)
    adapted = adapt(columns, [0.5, 0.5])
    assert columns[:, 1].mean() > 1.5 * labels.mean()
    assert adapted.probabilities[:, 1].mean() == pytest.approx(labels.mean(), abs=0.01)
    np.testing.assert_allclose(adapted.probabilities, shift_prior(columns, [0.5, 0.5], adapted.prior))


def test_the_correction_is_a_shift_of_the_log_odds():
    _, columns = draw(1000, 0.2, 4)
    adapted = adapt(columns, [0.5, 0.5])
    moved = logit(adapted.probabilities[:, 1]) - logit(columns[:, 1])
    np.testing.assert_allclose(moved, logit(adapted.prior[1]), rtol=1e-6)


def test_images_of_a_patient_widen_the_interval():
    _, columns = draw(200, 0.3, 5)
    rows = np.repeat(np.arange(200), 5)
    once = examine(columns, [0.5, 0.5], np.arange(200)).shares[1]
    copies = examine(columns[rows], [0.5, 0.5], rows).shares[1]
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.15)


def test_few_patients_are_refused_with_the_reason():
    found = examine(draw(49, 0.3)[1], [0.5, 0.5], np.arange(49))
    assert found.adapted is None
    assert found.shares[1].value is None
    assert "49 patients are too few" in found.refused


def test_a_model_that_cannot_tell_the_classes_apart_is_refused():
    rng = np.random.default_rng(6)
    p_abnormal = expit(rng.normal(0, 0.15, 300))
    found = examine(np.column_stack([1 - p_abnormal, p_abnormal]), [0.5, 0.5], np.arange(300))
    assert "hardly tells the classes apart" in found.refused or "do not converge" in found.refused


def test_another_kind_of_change_is_noticed():
    _, columns = draw(1500, 0.3, 7, moved=0.9)
    found = examine(columns, [0.5, 0.5], np.arange(1500), validation())
    assert "something else than the prevalence differs" in found.refused
    assert found.fit.p_value < 0.01


def test_the_test_of_the_assumption_keeps_its_level():
    rejected = 0
    for seed in range(150):
        _, columns = draw(300, 0.25, 1000 + seed)
        fit = mixture_fit(columns[:, 1], np.arange(300), validation(600, 5000 + seed))
        rejected += fit.p_value < 0.05
    # 7.5 expected.
    assert rejected <= 16


def test_three_classes():
    rng = np.random.default_rng(8)
    labels = rng.choice(3, 4000, p=[0.7, 0.1, 0.2])
    scores = rng.normal(size=(4000, 3)) + 2.0 * np.eye(3)[labels]
    columns = np.exp(2.0 * scores)
    found = examine(columns / columns.sum(1, keepdims=True), [1 / 3] * 3, np.arange(4000))
    assert [share.value for share in found.shares] == pytest.approx([0.7, 0.1, 0.2], abs=0.03)


def test_a_prior_that_is_none_is_refused():
    with pytest.raises(DataError, match="shares above 0 that sum to 1"):
        examine(draw(100, 0.3)[1], [1.0, 0.0], np.arange(100))


@settings(deadline=None, max_examples=25)
@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_there_and_back_gives_the_same_probabilities(old, new):
    _, columns = draw(50, 0.4)
    there = shift_prior(columns, [1 - old, old], [1 - new, new])
    back = shift_prior(there, [1 - new, new], [1 - old, old])
    np.testing.assert_allclose(back, columns, atol=1e-9)
    assert ((there[:, 1] >= columns[:, 1]) == (new >= old)).all() or new == pytest.approx(old)
