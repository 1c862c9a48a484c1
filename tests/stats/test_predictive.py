"""Predictive values with intervals, against simulation and Bayes' rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungscope.errors import ConfigError
from lungscope.stats.estimate import Estimate
from lungscope.stats.predictive import predictive_estimates
from lungscope.stats.proportion import proportion


def test_the_values_are_bayes_rule():
    ppv, npv = predictive_estimates(Estimate(0.9, 0.85, 0.94), Estimate(0.8, 0.75, 0.85), 0.1)
    assert ppv.value == pytest.approx(0.09 / (0.09 + 0.18))
    assert npv.value == pytest.approx(0.72 / (0.72 + 0.01))


def test_intervals_cover_the_truth():
    rng, hits = np.random.default_rng(0), []
    truth = 0.05 * 0.92 / (0.05 * 0.92 + 0.95 * 0.12)
    for _ in range(600):
        found = proportion(rng.random(80) < 0.92)
        cleared = proportion(rng.random(120) < 0.88)
        ppv, _ = predictive_estimates(found, cleared, 0.05)
        hits.append(ppv.low <= truth <= ppv.high)
    assert 0.93 <= np.mean(hits) <= 0.985


def test_a_perfect_specificity_keeps_an_honest_lower_end():
    ppv, npv = predictive_estimates(Estimate(0.9, 0.8, 0.95), Estimate(1.0, 0.97, 1.0), 0.1)
    assert ppv.value == 1.0
    assert ppv.low == pytest.approx(0.8 * 0.1 / (0.8 * 0.1 + 0.03 * 0.9))
    assert npv.low < npv.value < npv.high


def test_what_is_missing_stays_missing_with_its_reason():
    ppv, npv = predictive_estimates(Estimate(None, reason="no positive case"), Estimate(0.9, 0.8, 1.0), 0.1)
    assert (ppv.value, npv.reason) == (None, "no positive case")
    assert predictive_estimates(Estimate(0.9), Estimate(0.9), 0.1)[0].reason.startswith("no interval")


def test_a_prevalence_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="Write a fraction such as 0.1"):
        predictive_estimates(Estimate(0.9, 0.8, 1.0), Estimate(0.9, 0.8, 1.0), 10)


@given(st.integers(0, 50), st.integers(0, 70), st.floats(0.001, 0.999))
def test_values_lie_within_their_intervals_and_follow_bayes(found, cleared, prevalence):
    sensitivity = proportion(np.arange(50) < found)
    specificity = proportion(np.arange(70) < cleared)
    for value in predictive_estimates(sensitivity, specificity, prevalence):
        if value.value is None:
            assert value.reason
        else:
            assert 0 <= value.low <= value.value <= value.high <= 1
