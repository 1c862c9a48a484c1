"""The largest gap between groups: Cochran's Q and Newcombe's interval of a difference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from lungscope.stats.estimate import Estimate
from lungscope.stats.group_gap import largest_gap
from lungscope.stats.proportion import wilson


def share(successes, n):
    low, high = wilson(successes / n, n)
    return Estimate(successes / n, float(low), float(high))


def test_the_interval_is_newcombes_of_two_proportions():
    # Newcombe 1998, method 10, his example (a): 56/70 against 48/80 gives 0.0524 to 0.3339.
    gap = largest_gap([share(56, 70), share(48, 80)])
    assert (gap.highest, gap.lowest) == (0, 1)
    assert (gap.difference.low, gap.difference.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_equality_is_tested_by_cochrans_q():
    values, errors = np.array([0.7, 0.8, 0.9]), np.array([0.05, 0.04, 0.06])
    gap = largest_gap([Estimate(v, v - 1.959964 * e, v + 1.959964 * e) for v, e in zip(values, errors, strict=True)])
    weights = errors**-2.0
    centre = (weights * values).sum() / weights.sum()
    assert gap.p_value == pytest.approx(chi2.sf((weights * (values - centre) ** 2).sum(), 2), rel=1e-5)


def test_groups_without_an_interval_are_left_out():
    assert largest_gap([Estimate(None, reason="no case"), share(3, 10)]) is None
    gap = largest_gap([Estimate(0.1, reason="no interval"), share(3, 10), share(8, 10)])
    assert (gap.highest, gap.lowest) == (2, 1)


def test_equal_groups_are_found_different_as_often_as_chance_wants():
    rng = np.random.default_rng(0)
    found = [largest_gap([share(k, 200) for k in rng.binomial(200, 0.8, 4)]).p_value < 0.05 for _ in range(800)]
    assert 0.02 < np.mean(found) < 0.08


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(100, 300)), min_size=2, max_size=6))
def test_the_gap_is_between_the_ends_and_its_interval_holds_it(counts):
    estimates = [share(k, n) for k, n in counts]
    gap = largest_gap(estimates)
    values = [each.value for each in estimates]
    assert gap.difference.value == pytest.approx(max(values) - min(values))
    assert gap.difference.low <= gap.difference.value <= gap.difference.high
    assert 0 <= gap.p_value <= 1
