"""Label shift: shares found without labels, and probabilities moved to another prevalence."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.stats.prior_correction import as_probabilities, em_prior, shift_prior


def screened(n, prevalence, *, trained=0.5, seed=0):
    """Calibrated probabilities (for the prevalence trained on) of data at another prevalence."""
    rng = np.random.default_rng(seed)
    diseased = rng.random(n) < prevalence
    score = rng.normal(size=n) + 2 * diseased
    odds = np.exp(2 * score - 2) * trained / (1 - trained)
    positive = odds / (1 + odds)
    return np.stack([1 - positive, positive], axis=1), diseased


@pytest.mark.parametrize("prevalence", [0.05, 0.3, 0.8])
def test_em_finds_the_prevalence_without_labels(prevalence):
    probabilities, diseased = screened(20_000, prevalence)
    assert em_prior(probabilities, [0.5, 0.5])[1] == pytest.approx(diseased.mean(), abs=0.012)


def test_em_maximises_the_likelihood():
    probabilities, _ = screened(500, 0.2, trained=0.6)
    ratios = probabilities / np.array([0.4, 0.6])
    best = minimize_scalar(
        lambda share: -np.log((1 - share) * ratios[:, 0] + share * ratios[:, 1]).sum(),
        bounds=(0, 1), method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    assert em_prior(probabilities, [0.4, 0.6])[1] == pytest.approx(best.x, abs=1e-5)


def test_em_leaves_three_unshifted_classes_alone():
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet([2.0, 1.0, 1.0], 50_000)
    prior = probabilities.mean(0)
    np.testing.assert_allclose(em_prior(probabilities, prior), prior, atol=1e-6)


def test_probabilities_that_say_nothing_leave_the_prior():
    np.testing.assert_allclose(em_prior(np.tile([0.7, 0.3], (50, 1)), [0.7, 0.3]), [0.7, 0.3])


def test_shifted_probabilities_are_calibrated_at_the_new_prevalence():
    probabilities, diseased = screened(100_000, 0.1)
    shifted = shift_prior(probabilities, [0.5, 0.5], [0.9, 0.1])
    assert probabilities[:, 1].mean() > 0.2
    assert shifted[:, 1].mean() == pytest.approx(diseased.mean(), abs=0.005)
    called = shifted[:, 1] > 0.5
    assert shifted[called, 1].mean() == pytest.approx(diseased[called].mean(), abs=0.02)


def test_shift_is_bayes_rule_and_goes_back():
    shifted = shift_prior([[0.2, 0.8]], [0.5, 0.5], [0.9, 0.1])
    np.testing.assert_allclose(shifted, [[0.18 / 0.26, 0.08 / 0.26]])
    np.testing.assert_allclose(shift_prior(shifted, [0.9, 0.1], [0.5, 0.5]), [[0.2, 0.8]])
    np.testing.assert_array_equal(shift_prior([[1.0, 0.0]], [0.5, 0.5], [0.01, 0.99]), [[1.0, 0.0]])


@pytest.mark.parametrize("prior", [[0.5, 0.6], [1.0, 0.0], [0.5, 0.3, 0.2], [np.nan, 1.0]])
def test_what_is_no_prior_is_refused_with_the_remedy(prior):
    with pytest.raises(DataError, match="2 shares above 0 that sum to 1. Give one fraction per class"):
        em_prior([[0.5, 0.5]], prior)
    with pytest.raises(DataError, match="Give one fraction per class"):
        shift_prior([[0.5, 0.5]], [0.5, 0.5], prior)


def test_one_column_of_probabilities_cannot_be_shifted():
    with pytest.raises(DataError, match="Pass one column per class"):
        shift_prior([0.5, 0.7], [0.5, 0.5], [0.9, 0.1])


@pytest.mark.parametrize(("probabilities", "reason"), [(np.empty((0, 2)), "no case"), ([[0.5, np.nan]], "not numbers")])
def test_no_cases_and_missing_probabilities_are_undefined(probabilities, reason):
    with pytest.raises(UndefinedEstimate, match=reason):
        em_prior(probabilities, [0.5, 0.5])


def test_em_that_does_not_converge_says_so():
    probabilities, _ = screened(200, 0.1)
    with pytest.raises(UndefinedEstimate, match="do not converge"):
        em_prior(probabilities, [0.5, 0.5], max_iterations=2)


def test_rounding_beyond_zero_and_one_is_clipped_and_more_is_refused():
    np.testing.assert_array_equal(as_probabilities([1.0000002, -1e-7]), [1.0, 0.0])
    with pytest.raises(DataError, match="reach from 0.2 to 1.2. Pass probabilities, not logits"):
        as_probabilities([0.2, 1.2])
