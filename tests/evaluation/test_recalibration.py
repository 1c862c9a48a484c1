"""Calibration slope and intercepts: their intervals against a bootstrap and a closed form."""

import numpy as np
import pytest

from lungscope.evaluation.recalibration import recalibration_estimates
from lungscope.stats.calibration import calibration_slope_intercept


def cases(n_patients: int, images: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    odds = np.repeat(rng.normal(0, 1.5, n_patients), images)
    probabilities = 1 / (1 + np.exp(-odds))
    # All images of a patient share the outcome: that is what makes rows dependent.
    positive = np.repeat(rng.random(n_patients) < probabilities[::images], images)
    return positive, probabilities, np.repeat([f"p{i}" for i in range(n_patients)], images)


def widths(positive, probabilities, patients) -> np.ndarray:
    found = recalibration_estimates(positive, probabilities, patients)
    return np.array([each.high - each.low for each in (found.slope, found.intercept, found.in_the_large)])


def bootstrap_widths(positive, probabilities, images: int) -> np.ndarray:
    rng, n_patients = np.random.default_rng(1), len(positive) // images
    fits = []
    for _ in range(150):
        rows = (rng.integers(0, n_patients, n_patients)[:, None] * images + np.arange(images)).ravel()
        fit = calibration_slope_intercept(positive[rows], probabilities[rows])
        fits.append((fit.slope, fit.intercept, fit.in_the_large))
    return 2 * 1.96 * np.std(fits, axis=0)


@pytest.mark.parametrize("images", [1, 3])
def test_intervals_are_as_wide_as_those_of_a_patient_bootstrap(images: int) -> None:
    positive, probabilities, patients = cases(250, images)
    assert widths(positive, probabilities, patients) == pytest.approx(
        bootstrap_widths(positive, probabilities, images), rel=0.25
    )


def test_copies_of_an_image_add_no_certainty() -> None:
    once, fourfold = cases(200, 1, seed=4), cases(200, 1, seed=4)
    copied = tuple(np.repeat(column, 4) for column in fourfold)
    assert widths(*copied) == pytest.approx(widths(*once), rel=1e-4)


def test_the_interval_in_the_large_is_the_textbook_one_for_constant_odds() -> None:
    rng = np.random.default_rng(2)
    positive = rng.random(4000) < 0.3
    probabilities = np.clip(0.3 + rng.normal(0, 1e-6, 4000), 0, 1)
    large = recalibration_estimates(positive, probabilities, [str(i) for i in range(4000)]).in_the_large
    share = positive.mean()
    assert (large.high - large.low) / 2 == pytest.approx(1.96 / np.sqrt(4000 * share * (1 - share)), rel=2e-3)


def test_a_true_slope_of_one_is_inside_the_interval_and_an_extreme_score_is_below_one() -> None:
    positive, probabilities, patients = cases(800, 1, seed=3)
    honest = recalibration_estimates(positive, probabilities, patients).slope
    assert honest.low < 1 < honest.high
    odds = 3 * np.log(probabilities / (1 - probabilities))
    assert recalibration_estimates(positive, 1 / (1 + np.exp(-odds)), patients).slope.high < 1


def test_one_class_is_undefined_and_few_patients_have_no_interval() -> None:
    none = recalibration_estimates(np.zeros(20, bool), np.linspace(0.1, 0.9, 20), [str(i) for i in range(20)])
    assert (none.slope.value, none.slope.reason) == (None, "no positive case among 20")
    few = recalibration_estimates(np.array([0, 1, 0, 1], bool), np.array([0.2, 0.4, 0.6, 0.8]), list("abcd"))
    assert few.slope.value is not None
    assert (few.slope.low, few.slope.reason) == (None, "no interval: fewer than 10 patients")
