"""Intervals of proportions against published values (Newcombe 1998, table I) and SciPy."""

import numpy as np
import pytest
from scipy.stats import binomtest

from lungscope.stats.proportion import proportion, wilson


def successes(k, n):
    return np.arange(n) < k


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_independent_rows_have_the_published_wilson_interval(k, n, low, high):
    estimate = proportion(successes(k, n))
    assert estimate.value == k / n
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_matches_scipy_at_every_count():
    k = np.arange(31)
    low, high = wilson(k / 30, np.full(31, 30))
    for at in k:
        expected = binomtest(int(at), 30).proportion_ci(method="wilson")
        assert (low[at], high[at]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_all_right_is_not_certain():
    estimate = proportion(np.ones(20), [f"p{row}" for row in range(20)])
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(0.8389, abs=5e-5)


def test_patients_of_one_row_each_change_nothing():
    rows = successes(30, 80)
    assert proportion(rows, np.arange(80)) == proportion(rows)


@pytest.mark.parametrize("right", [30, 80])
def test_the_same_image_twice_adds_no_certainty(right):
    once = proportion(successes(right, 80))
    twice = proportion(np.repeat(successes(right, 80), 2), np.repeat(np.arange(80), 2))
    assert twice.value == once.value
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), abs=2e-3)


def test_clustered_interval_is_as_wide_as_resampling_patients_says():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(300), rng.integers(1, 8, 300))
    rows = rng.random(patients.size) < rng.beta(1.5, 1, 300)[patients]
    right, sizes = np.bincount(patients, weights=rows), np.bincount(patients)
    drawn = rng.integers(300, size=(4000, 300))
    low, high = np.percentile(right[drawn].sum(1) / sizes[drawn].sum(1), (2.5, 97.5))
    estimate = proportion(rows, patients)
    assert estimate.high - estimate.low == pytest.approx(high - low, rel=0.06)
    assert estimate.high - estimate.low > 1.3 * (proportion(rows).high - proportion(rows).low)


def test_few_patients_count_as_one_case_each():
    rows, patients = successes(30, 50), np.repeat(np.arange(5), 10)
    expected = wilson(0.6, 5)
    estimate = proportion(rows, patients)
    assert (estimate.low, estimate.high) == tuple(float(end) for end in expected)


def test_no_case_is_undefined_with_the_given_reason():
    estimate = proportion([], [], empty="no positive case")
    assert (estimate.value, estimate.low, estimate.high, estimate.reason) == (None, None, None, "no positive case")
