"""Calibration against scikit-learn's logistic regression, hand-computed bins and simulated truth."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.stats.calibration import (
    brier,
    calibration_slope_intercept,
    classwise_calibration_error,
    expected_calibration_error,
    fit_platt,
    fit_temperature,
    reliability_curve,
)
from lungscope.stats.resampling import estimate


def drawn(n, n_classes, *, temperature=1.0, shift=0.0, seed=0):
    """Logits, and labels that come true with softmax(logits / temperature + shift)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3, size=(n, n_classes))
    chances = softmax(logits / temperature + shift, axis=1)
    return logits, (chances.cumsum(1) < rng.random((n, 1))).sum(1)


def log_loss(logits, labels):
    return -log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean()


def logistic_regression(margin, labels, *, intercept):
    """Reference: every row twice, weighted by Platt's targets, in scikit-learn without a penalty."""
    n = np.bincount(labels)
    own = ((n + 1) / (n + 2))[labels]
    rows, outcome = np.tile(margin, 2)[:, None], np.concatenate([labels, 1 - labels])
    fit = LogisticRegression(C=np.inf, fit_intercept=intercept, tol=1e-10, max_iter=1000)
    fit.fit(rows, outcome, sample_weight=np.concatenate([own, 1 - own]))
    return fit.coef_[0, 0], np.ravel(fit.intercept_)[0]


@pytest.mark.parametrize(("n_classes", "temperature"), [(2, 2.0), (2, 0.5), (4, 1.7)])
def test_temperature_is_recovered_from_many_cases(n_classes, temperature):
    logits, labels = drawn(20_000, n_classes, temperature=temperature)
    fitted = fit_temperature(logits, labels)
    assert fitted == pytest.approx(temperature, rel=0.05)
    around = [log_loss(logits / (fitted * factor), labels) for factor in (0.9, 1.0, 1.1)]
    assert min(around) == around[1]


def test_temperature_matches_scikit_learn():
    logits, labels = drawn(300, 2, temperature=1.5)
    scale, _ = logistic_regression(logits[:, 1] - logits[:, 0], labels, intercept=False)
    assert fit_temperature(logits, labels) == pytest.approx(1 / scale, rel=1e-4)


def test_temperature_stays_finite_when_no_case_is_called_wrongly():
    labels = np.repeat([0, 1], 20)
    logits = np.stack([-10.0 * labels, 10.0 * labels], axis=1) - 5
    temperature = fit_temperature(logits, labels)
    # Platt's targets for 20 cases of a class: its own cases are right with 21/22 at best.
    assert softmax(logits / temperature, axis=1)[0].max() < 0.999
    assert 1 < temperature < 100


def test_temperature_keeps_the_order_of_classes_whatever_the_scale():
    logits, labels = drawn(500, 3)
    assert fit_temperature(logits * 1000, labels) == pytest.approx(100.0, rel=1e-3)
    assert fit_temperature(logits * 10, labels) == pytest.approx(10 * fit_temperature(logits, labels), rel=1e-4)


def test_platt_matches_scikit_learn_for_two_classes():
    logits, labels = drawn(300, 2, temperature=2.0, shift=np.array([0.0, -1.0]))
    scale, shift = fit_platt(logits, labels)
    expected = logistic_regression(logits[:, 1] - logits[:, 0], labels, intercept=True)
    assert (scale, shift[1]) == pytest.approx(expected, abs=1e-5)
    assert shift[0] == 0.0


def test_platt_recovers_scale_and_shifts_of_several_classes():
    truth = np.array([0.0, 1.0, -0.7, 0.3])
    logits, labels = drawn(20_000, 4, temperature=2.5, shift=truth)
    scale, shift = fit_platt(logits, labels)
    assert scale == pytest.approx(0.4, rel=0.05)
    np.testing.assert_allclose(shift, truth, atol=0.12)


def test_platt_stays_finite_when_classes_separate():
    labels = np.repeat([0, 1], 30)
    scale, shift = fit_platt(np.stack([np.zeros(60), labels * 8.0 - 4], axis=1), labels)
    probabilities = expit(scale * (labels * 8.0 - 4) + shift[1])
    np.testing.assert_allclose(probabilities, np.where(labels, 31 / 32, 1 / 32), atol=1e-5)


def test_platt_calibrates_the_mean_of_every_class_of_huge_logits():
    logits, labels = drawn(2000, 3, shift=np.array([0.0, 2.0, -1.0]))
    scale, shift = fit_platt(logits * 500, labels)
    means = softmax(scale * 500 * logits + np.array(shift), axis=1).mean(0)
    np.testing.assert_allclose(means, np.bincount(labels) / 2000, atol=2e-3)


@pytest.mark.parametrize("fit", [fit_temperature, fit_platt])
@pytest.mark.parametrize(
    ("logits", "labels", "remedy"),
    [
        ([[0.0, 1.0]] * 3, [1, 1, 1], "Class 0 has no validation case to calibrate on. Enlarge data.validation"),
        ([[0.0, np.nan]] * 2, [0, 1], "The network has diverged; train it again"),
        ([0.3, 0.2], [0, 1], "Pass one column per class"),
        ([[0.0, 1.0]] * 2, [0, 2], "Check the order of the classes"),
        ([[0.0, 1.0]] * 2, [0, 1, 1], "Pass both for the same rows"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_remedy(fit, logits, labels, remedy):
    with pytest.raises(DataError, match=remedy):
        fit(logits, labels)


def test_calibration_error_as_computed_by_hand():
    probabilities, labels = np.array([0.1, 0.2, 0.7, 0.9, 1.0]), np.array([0, 1, 1, 1, 0])
    # Halves: |0.3 - 1| and |2.6 - 2|, over 5 cases.
    assert expected_calibration_error(labels, probabilities, bins=2) == pytest.approx((0.7 + 0.6) / 5)
    both = np.stack([1 - probabilities, probabilities], axis=1)
    assert expected_calibration_error(labels, both, bins=2) == pytest.approx(1.3 / 5)


def test_calibration_error_of_several_classes_is_that_of_the_top_label():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.7, 0.2, 0.1]])
    labels = np.array([0, 1, 0, 1])
    # Bin 0.5-0.75: confidences 0.6, 0.6, 0.7 with one right; bin 0.75-1: 0.8 with one right.
    assert expected_calibration_error(labels, probabilities, bins=4) == pytest.approx((0.9 + 0.2) / 4)
    single = [expected_calibration_error(labels == k, probabilities[:, k], bins=4) for k in range(3)]
    assert classwise_calibration_error(labels, probabilities, bins=4) == pytest.approx(np.mean(single))


def test_calibrated_probabilities_have_a_small_error_and_overconfident_ones_a_large_one():
    logits, labels = drawn(20_000, 2)
    calibrated, extreme = softmax(logits, axis=1), softmax(logits * 3, axis=1)
    assert expected_calibration_error(labels, calibrated) < 0.015
    assert expected_calibration_error(labels, extreme) > 0.07


@pytest.mark.parametrize("metric", [expected_calibration_error, classwise_calibration_error, brier])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_count_rows(metric, n_classes):
    logits, labels = drawn(200, n_classes)
    probabilities = softmax(logits, axis=1)
    weights = np.random.default_rng(0).integers(0, 3, (4, 200)).astype(np.uint16)
    values = metric(labels, probabilities, weights=weights)
    for value, row in zip(values, weights, strict=True):
        assert value == pytest.approx(metric(np.repeat(labels, row), np.repeat(probabilities, row, axis=0)))
    result = estimate(lambda w: metric(labels, probabilities, weights=w), np.arange(200))
    assert result.low <= result.value <= result.high


def test_brier_matches_scikit_learn():
    logits, labels = drawn(400, 2)
    probabilities = softmax(logits, axis=1)
    assert brier(labels, probabilities) == pytest.approx(brier_score_loss(labels, probabilities[:, 1]))
    assert brier(labels, probabilities[:, 1].astype(np.float32)) == pytest.approx(
        brier(labels, probabilities), abs=1e-6
    )
    logits, labels = drawn(400, 3)
    probabilities = softmax(logits, axis=1)
    assert brier(labels, probabilities) == pytest.approx(brier_score_loss(labels, probabilities, scale_by_half=False))


def test_slope_and_intercept_match_scikit_learn():
    logits, labels = drawn(500, 2, temperature=1.6, shift=np.array([0.0, 0.8]))
    odds = logits[:, 1] - logits[:, 0]
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[:, None], labels)
    result = calibration_slope_intercept(labels, expit(odds))
    assert result.slope == pytest.approx(fit.coef_[0, 0], rel=1e-4)
    assert result.intercept == pytest.approx(fit.intercept_[0], abs=1e-4)
    # In the large: with that shift the mean probability equals the prevalence.
    assert expit(odds + result.in_the_large).mean() == pytest.approx(labels.mean(), abs=1e-9)


def test_slope_names_overconfidence_and_its_cure():
    logits, labels = drawn(20_000, 2, temperature=2.0)
    assert calibration_slope_intercept(labels, softmax(logits, axis=1)).slope == pytest.approx(0.5, rel=0.06)
    cured = calibration_slope_intercept(labels, softmax(logits / fit_temperature(logits, labels), axis=1))
    assert cured.slope == pytest.approx(1.0, abs=0.06)
    assert cured.in_the_large == pytest.approx(0.0, abs=0.1)


def test_slope_survives_probabilities_of_zero_and_one():
    labels = np.array([0, 0, 0, 1, 1, 1] * 10)
    result = calibration_slope_intercept(labels, np.array([0.0, 0.1, 1.0, 0.0, 0.9, 1.0] * 10))
    assert 0 < result.slope < 1


@pytest.mark.parametrize(
    ("positive", "probabilities", "reason"),
    [
        ([1, 1], [0.2, 0.7], "no negative case among 2"),
        ([0, 1, 1], [0.4, 0.4, 0.4], "all probabilities are equal"),
        ([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.9], "no finite slope fits"),
        ([1, 1, 0], [0.1, 0.4, 0.9], "no finite slope fits"),
        ([0, 1], [0.1, np.nan], "1 of 2 probabilities are not numbers"),
        ([], [], "no case"),
    ],
)
def test_a_slope_that_the_data_cannot_give_says_why(positive, probabilities, reason):
    with pytest.raises(UndefinedEstimate, match=reason):
        calibration_slope_intercept(np.array(positive, dtype=int), probabilities)


def test_reliability_curve_as_computed_by_hand():
    curve = reliability_curve(np.array([0, 1, 1, 1, 0]), np.array([0.1, 0.15, 0.72, 0.78, 1.0]))
    np.testing.assert_array_equal(curve.count, [2, 2, 1])
    np.testing.assert_allclose(curve.predicted, [0.125, 0.75, 1.0])
    np.testing.assert_allclose(curve.observed, [0.5, 1.0, 0.0])
    np.testing.assert_allclose((curve.low[1], curve.high[1]), (0.3424, 1.0), atol=5e-5)


def test_reliability_curve_follows_the_diagonal_of_true_probabilities():
    probabilities = np.random.default_rng(0).random(50_000)
    labels = (np.random.default_rng(1).random(50_000) < probabilities).astype(int)
    curve = reliability_curve(labels, probabilities)
    np.testing.assert_allclose(curve.observed, curve.predicted, atol=0.02)
    assert curve.count.sum() == 50_000


@pytest.mark.parametrize("metric", [expected_calibration_error, brier, reliability_curve])
@pytest.mark.parametrize(
    ("labels", "probabilities", "remedy"),
    [
        ([0, 1], [-3.0, 4.0], "Pass probabilities, not logits"),
        ([0, 1], [[0.5, 0.9], [0.5, 0.5]], "must sum to 1"),
        ([0, 1], [[0.5], [0.5]], "Pass a column per class"),
        ([0, 2], [0.1, 0.9], "Check the order of the classes"),
        ([0, 1, 1], [0.1, 0.9], "Pass both for the same rows"),
    ],
)
def test_what_is_no_probability_is_refused_with_the_remedy(metric, labels, probabilities, remedy):
    with pytest.raises(DataError, match=remedy):
        metric(labels, probabilities)


@pytest.mark.parametrize("metric", [expected_calibration_error, brier, reliability_curve])
def test_missing_probabilities_and_no_rows_are_undefined(metric):
    with pytest.raises(UndefinedEstimate, match="1 of 2 probabilities are not numbers"):
        metric([0, 1], [0.5, np.nan])
    with pytest.raises(UndefinedEstimate, match="no case"):
        metric([], [])


def test_logit_of_the_probabilities_is_what_platt_is_given():
    logits, labels = drawn(400, 2)
    probabilities = softmax(logits, axis=1)[:, 1]
    margin = np.stack([np.zeros(400), logit(probabilities)], axis=1)
    for given, expected in zip(fit_platt(margin, labels), fit_platt(logits, labels), strict=True):
        np.testing.assert_allclose(given, expected, atol=1e-5)
