"""Paired comparisons against brute force, published values and SciPy."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest, chi2, norm, t

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.stats.comparison import auroc_estimate, delong, holm, mcnemar, twice_median
from lungscope.stats.metrics import auroc
from lungscope.stats.resampling import bootstrap_weights

# Albumin, total protein and outcome of 43 patients (DeLong, DeLong & Clarke-Pearson 1988).
OVARIAN = np.array(
    """3.0 5.8 0  3.2 6.3 1  3.9 6.8 1  2.8 4.8 0  3.2 5.8 1  0.9 4.0 0  2.5 5.7 0  1.6 5.6 1  3.8 5.7 1
    3.7 6.7 1  3.2 5.4 1  3.8 6.6 1  4.1 6.6 1  3.6 5.7 1  4.3 7.0 1  3.6 6.7 0  2.3 4.4 1  4.2 7.6 0
    4.0 6.6 0  3.5 5.8 1  3.8 6.8 1  3.0 4.7 0  4.5 7.4 1  3.7 7.4 1  3.1 6.6 1  4.1 8.2 1  4.3 7.0 1
    4.3 6.5 1  3.2 5.1 1  2.6 4.7 1  3.3 6.8 0  1.7 4.0 0  3.7 6.1 1  3.3 6.3 1  4.2 7.7 1  3.5 6.2 1
    2.9 5.7 0  2.1 4.8 1  2.8 6.2 0  4.0 7.0 1  3.3 5.7 1  3.7 6.9 1  3.6 6.6 1""".split(),
    dtype=float,
).reshape(-1, 3)


def two_scores(n=120, seed=0, decimals=1):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    shared = rng.normal(size=n)
    a, b = (shared + rng.normal(size=n) + gain * positive for gain in (1.5, 0.7))
    return positive, a.round(decimals), b.round(decimals)


def brute_force_covariance(positive, *scores):
    """DeLong's covariance, pair by pair as the paper defines it."""
    v10, v01 = [], []
    for values in scores:
        x, y = values[positive][:, None], values[~positive][None, :]
        wins = (x > y) + 0.5 * (x == y)
        v10.append(wins.mean(1))
        v01.append(wins.mean(0))
    return np.cov(v10) / positive.sum() + np.cov(v01) / (~positive).sum()


def standard_error(estimate, degrees):
    """The standard error behind an interval on the log-odds scale."""
    slope = estimate.value * (1 - estimate.value)
    return (logit(estimate.high) - logit(estimate.low)) / 2 / t.ppf(0.975, degrees) * slope


@pytest.mark.parametrize("decimals", [1, 6])
def test_delong_matches_the_definition_pair_by_pair(decimals):
    positive, a, b = two_scores(decimals=decimals)
    covariance = brute_force_covariance(positive, a, b)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    result = delong(positive, a, b)
    assert (result.auroc_a, result.auroc_b) == pytest.approx((auroc(positive, a), auroc(positive, b)), abs=1e-12)
    assert result.difference == pytest.approx(result.auroc_a - result.auroc_b, abs=1e-12)
    assert (result.high - result.low) / (2 * 1.959964) == pytest.approx(error, rel=1e-6)
    assert result.p_value == pytest.approx(2 * norm.sf(abs(result.difference) / error), rel=1e-9)
    fewest = min(positive.sum(), (~positive).sum())
    assert standard_error(auroc_estimate(positive, a), fewest - 1) == pytest.approx(np.sqrt(covariance[0, 0]))


@pytest.mark.parametrize(("column", "area", "low", "high"), [(0, 0.7366, 0.5549, 0.9182), (1, 0.6478, 0.4518, 0.8439)])
def test_the_standard_error_is_that_of_the_published_intervals(column, area, low, high):
    estimate = auroc_estimate(OVARIAN[:, 2], OVARIAN[:, column])
    assert estimate.value == pytest.approx(area, abs=6e-5)
    fewest = min((OVARIAN[:, 2] == 0).sum(), (OVARIAN[:, 2] == 1).sum())
    assert standard_error(estimate, fewest - 1) == pytest.approx((high - low) / 2 / 1.959964, abs=6e-5)


def test_the_interval_is_that_of_the_log_odds():
    estimate = auroc_estimate(OVARIAN[:, 2], OVARIAN[:, 0])
    error = (0.9182 - 0.5549) / 2 / 1.959964 / (0.7366 * (1 - 0.7366))
    degrees = min((OVARIAN[:, 2] == 0).sum(), (OVARIAN[:, 2] == 1).sum()) - 1
    ends = expit(logit(0.7366) + np.array([-1, 1]) * t.ppf(0.975, degrees) * error)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(ends), abs=2e-4)


def test_the_difference_changes_sign_with_the_order():
    positive, a, b = two_scores()
    forth, back = delong(positive, a, b), delong(positive, b, a)
    assert forth.p_value == pytest.approx(back.p_value)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


def test_equal_rankings_do_not_differ():
    positive, a, _ = two_scores()
    result = delong(positive, a, np.exp(a))
    assert (result.difference, result.low, result.high, result.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_the_same_image_twice_adds_no_evidence():
    positive, a, b = two_scores()
    rows = np.repeat(np.arange(120), 3)
    once, thrice = delong(positive, a, b), delong(positive[rows], a[rows], b[rows], rows)
    assert thrice.p_value == pytest.approx(once.p_value, rel=1e-9)
    assert delong(positive[rows], a[rows], b[rows]).p_value < once.p_value


def test_clustered_variance_agrees_with_resampling_patients():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(150), 4)
    # Diseased and healthy images of one patient share that patient's level.
    positive = rng.random(600) < 0.4
    scores = rng.normal(size=150)[patients] + rng.normal(size=600) + positive
    estimate = auroc_estimate(positive, scores, patients)
    draws = np.concatenate([auroc(positive, scores, w) for w in bootstrap_weights(patients, resamples=2000)])
    both = min(np.unique(patients[side]).size for side in (positive, ~positive))
    assert standard_error(estimate, both - 1) == pytest.approx(draws.std(), rel=0.08)


def test_an_interval_keeps_within_one():
    positive, scores = np.arange(40) < 20, np.concatenate([np.arange(20) + 18.5, np.arange(20)])
    estimate = auroc_estimate(positive, scores)
    assert 0.9 < estimate.low < estimate.value < estimate.high < 1


@pytest.mark.parametrize(
    ("positive", "scores", "value", "reason"),
    [
        ([1, 1, 1], [1, 2, 3], None, "no negative case among 3"),
        ([0, 1, 1], [1, np.nan, 3], None, "1 of 3 scores are not numbers"),
        ([0, 0, 1, 1], [1, 3, 2, 4], 0.75, "no interval: fewer than 10 patients"),
        ([0] + [1] * 9, range(10), 1.0, "no interval: fewer than two patients of a class"),
        ([0] * 6 + [1] * 6, range(12), 1.0, "no interval: the AUROC does not vary"),
        ([0] * 6 + [1] * 6, [5] * 12, 0.5, "no interval: the AUROC does not vary"),
    ],
)
def test_what_delong_cannot_give_has_a_reason(positive, scores, value, reason):
    estimate = auroc_estimate(positive, scores)
    assert (estimate.value, estimate.low) == (value, None)
    assert estimate.reason.startswith(reason)


def test_a_perfect_and_a_constant_score_cannot_be_tested():
    with pytest.raises(UndefinedEstimate, match="too few to compare"):
        delong([0, 0, 1, 1], [1, 2, 3, 4], [5, 5, 5, 5])


def right_and_wrong(only_a, only_b, both=50):
    a = np.array([1] * only_a + [0] * only_b + [1] * both)
    b = np.array([0] * only_a + [1] * only_b + [1] * both)
    return a, b


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (2, 11), (20, 4)])
def test_mcnemar_is_the_binomial_test_on_few_discordant_cases(only_a, only_b):
    result = mcnemar(*right_and_wrong(only_a, only_b))
    n = only_a + only_b
    assert result.exact
    assert (result.only_a, result.only_b) == (only_a, only_b)
    assert result.p_value == pytest.approx(binomtest(only_a, n).pvalue if n else 1.0)
    assert result.difference == pytest.approx((only_a - only_b) / (n + 50))


def test_mcnemar_gives_the_published_value_on_many():
    # Approval of the prime minister in two surveys (Agresti, Categorical Data Analysis): z² = 17.36.
    result = mcnemar(*right_and_wrong(150, 86, 1364))
    assert not result.exact
    assert result.p_value == pytest.approx(chi2.sf(17.356, 1), rel=1e-3)


def test_mcnemar_takes_the_patient_as_the_unit():
    a, b = right_and_wrong(15, 6)
    rows = np.repeat(np.arange(a.size), 3)
    assert mcnemar(a[rows], b[rows], rows).p_value == pytest.approx(mcnemar(a, b).p_value)
    assert mcnemar(a[rows], b[rows]).p_value < mcnemar(a, b).p_value
    # Patient 0 loses twice what patient 1 gains: of the four sign patterns all have a surplus of 1 or 3.
    assert mcnemar([0, 0, 1], [1, 1, 0], ["0", "0", "1"]).p_value == 1.0


def test_mcnemar_refuses_columns_that_do_not_fit():
    with pytest.raises(DataError, match="Pass both for the same rows"):
        mcnemar([1, 0], [1])


def test_holm_gives_the_textbook_adjustment_in_the_given_order():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]).size == 0


@pytest.mark.parametrize("p_values", [[0.1, np.nan], [1.2], [-0.1]])
def test_holm_refuses_what_is_no_p_value(p_values):
    with pytest.raises(DataError, match="from 0 to 1. Leave out comparisons"):
        holm(p_values)


def test_twice_the_median_is_valid_for_tests_that_depend_on_each_other() -> None:
    assert twice_median([0.03]) == 0.03
    assert twice_median([0.01, 0.02, 0.9]) == pytest.approx(0.04)
    assert twice_median([0.6, 0.7, 0.8]) == 1.0
    rng = np.random.default_rng(0)
    for correlation in (0.0, 0.5, 1.0):
        common = rng.normal(size=(4000, 1))
        z = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.normal(size=(4000, 3))
        p = 2 * norm.sf(np.abs(z))
        assert np.mean([twice_median(row) <= 0.05 for row in p]) <= 0.055
