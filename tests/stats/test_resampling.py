"""The bootstrap: patients are the unit, draws are repeatable, and gaps are explained."""

import time
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.stats.estimate import Estimate
from lungscope.stats.metrics import auroc, average_precision, count
from lungscope.stats.proportion import proportion
from lungscope.stats.resampling import bootstrap_weights, count_estimates, estimate, estimates, interval


def all_weights(patients, **options):
    return np.concatenate(list(bootstrap_weights(patients, **options)))


def overlapping(n, seed=0):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    return positive, rng.normal(size=n) + positive


def test_rows_of_a_patient_are_drawn_together_and_as_many_patients_as_there_are():
    patients = ["a", "b", "a", "c", "", ""]
    weights = all_weights(patients, resamples=500)
    assert weights.shape == (500, 6)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    # a, b, c and two patients without a name.
    np.testing.assert_array_equal(weights[:, [0, 1, 3, 4, 5]].sum(1), 5)
    assert (weights[:, 4] != weights[:, 5]).any()


def test_every_patient_is_drawn_as_often_as_chance_wants():
    weights = all_weights(np.arange(40), resamples=4000)
    counts = np.bincount(weights[:, 17], minlength=8)[:8]
    expected = 4000 * stats.binom.pmf(range(8), 40, 1 / 40)
    np.testing.assert_allclose(counts[:4], expected[:4], atol=4 * np.sqrt(expected[:4]).max())


def test_the_seed_decides_the_draws():
    patients = np.arange(30)
    np.testing.assert_array_equal(all_weights(patients, seed=5), all_weights(patients, seed=5))
    assert (all_weights(patients, seed=5) != all_weights(patients, seed=6)).any()


def test_blocks_are_small_whatever_the_number_of_rows():
    sizes = [block.shape for block in bootstrap_weights(np.arange(100_000), resamples=50)]
    assert sum(rows for rows, _ in sizes) == 50
    assert max(rows * n for rows, n in sizes) <= 2_000_000


def test_percentile_interval_leaves_out_undefined_resamples():
    values = np.concatenate([np.arange(1001.0), [np.nan] * 50])
    assert interval(values) == pytest.approx((25.0, 975.0))


@pytest.mark.parametrize("values", [[np.nan] * 200 + [0.5] * 800, [np.nan], []])
def test_too_many_undefined_resamples_leave_no_interval(values):
    with pytest.raises(UndefinedEstimate, match="too few patients"):
        interval(values)


def test_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(size=400)
    result = estimate(lambda w: values.mean() if w is None else w @ values / w.sum(1), np.arange(400), resamples=4000)
    half = 1.96 * values.std() / 20
    assert result.value == values.mean()
    assert (result.low, result.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.012)


def test_clustered_patients_widen_the_interval():
    positive, scores = overlapping(150)
    rows = np.repeat(np.arange(150), 4)
    clustered = estimate(lambda w: auroc(positive[rows], scores[rows], w), rows)
    naive = estimate(lambda w: auroc(positive[rows], scores[rows], w), np.arange(600))
    once = estimate(lambda w: auroc(positive, scores, w), np.arange(150))
    assert (clustered.low, clustered.high) == pytest.approx((once.low, once.high), abs=1e-9)
    assert clustered.high - clustered.low > 1.7 * (naive.high - naive.low)


def test_figures_share_their_draws():
    positive, scores = overlapping(100)
    metric = lambda w: auroc(positive, scores, w)  # noqa: E731
    first, second = estimates([metric, metric], np.arange(100))
    assert first == second == estimate(metric, np.arange(100))


@pytest.mark.parametrize(
    ("positive", "scores", "reason"),
    [([1] * 20, np.arange(20.0), "no negative case among 20"), ([0, 1] * 10, [np.nan] * 20, "20 of 20 scores")],
)
def test_an_undefined_figure_carries_its_reason(positive, scores, reason):
    result = estimate(lambda w: auroc(positive, scores, w), np.arange(20))
    assert (result.value, result.low, result.high) == (None, None, None)
    assert reason in result.reason


def test_a_metric_that_is_nan_is_undefined():
    assert estimate(lambda w: np.nan, np.arange(20)) == Estimate(None, reason="undefined for these data")


def test_five_patients_get_a_value_without_an_interval():
    positive, scores = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.6, 0.4, 0.8, 0.9])
    result = estimate(lambda w: auroc(positive, scores, w), np.arange(5))
    assert result == Estimate(5 / 6, reason="no interval: fewer than 10 patients")


@pytest.mark.parametrize("scores", [np.zeros(40), np.arange(40) % 2])
def test_constant_and_perfect_scores_claim_no_certainty(scores):
    positive = np.arange(40) % 2
    result = estimate(lambda w: auroc(positive, scores, w), np.arange(40))
    assert result.value in (0.5, 1.0)
    assert result.low is None
    assert "all resamples agree" in result.reason


def test_one_positive_case_is_too_little_for_an_interval():
    positive, scores = np.arange(30) == 3, np.arange(30.0)
    result = estimate(lambda w: auroc(positive, scores, w), np.arange(30))
    assert result.value is not None
    assert "resamples lack a class" in result.reason


def test_an_inflated_interval_still_holds_the_value():
    result = estimate(lambda w: 0.01 if w is None else 0.02 + 0.001 * w[:, 0], np.arange(30), shares=False)
    assert (result.low, result.high) == (0.01, pytest.approx(0.023, abs=2e-3))


def test_count_figures_carry_wilson_and_bootstrap_intervals():
    positive, scores = overlapping(200)
    called, patients = scores > 0.5, np.repeat(np.arange(100), 2).astype(str)
    result = count_estimates(positive, called, patients)
    assert result.counts == count(positive, called)
    assert result.sensitivity == proportion(called[positive], patients[positive])
    assert result.npv == proportion(~positive[~called], patients[~called])
    assert result.accuracy == proportion(positive == called, patients)
    assert result.f1.value == result.counts.f1
    assert result.f1.low < result.f1.value < result.f1.high
    assert result.balanced_accuracy.low < result.balanced_accuracy.value < result.balanced_accuracy.high


@pytest.mark.parametrize(
    ("positive", "called", "reasons"),
    [
        (0, 0, {"sensitivity": "no positive case", "ppv": "no case was called positive", "f1": "no case is positive"}),
        (1, 1, {"specificity": "no negative case", "npv": "no case was called negative"}),
        (1, 0, {"ppv": "no case was called positive", "balanced_accuracy": "no negative case"}),
    ],
)
def test_undefined_count_figures_say_why(positive, called, reasons):
    result = count_estimates([positive] * 20, [called] * 20, np.arange(20))
    for name, reason in reasons.items():
        assert getattr(result, name).value is None
        assert getattr(result, name).reason.startswith(reason)
    assert result.accuracy.value == float(positive == called)


def test_no_rows_at_all_leave_every_figure_undefined():
    result = count_estimates([], [], [])
    assert result.accuracy == Estimate(None, reason="no case")
    assert result.f1.value is None


def test_patients_of_other_rows_are_refused():
    with pytest.raises(DataError, match="Pass both for the same rows"):
        count_estimates([0, 1], [0, 1], ["a"])


def test_a_thousand_resamples_of_five_thousand_rows_take_under_two_seconds():
    positive, scores = overlapping(5000)
    started = time.process_time()
    estimates([lambda w: auroc(positive, scores, w), lambda w: average_precision(positive, scores, w)], np.arange(5000))
    assert time.process_time() - started < 2


def test_memory_is_bounded_for_a_hundred_thousand_rows():
    positive, scores = overlapping(100_000)
    patients = np.arange(100_000)
    tracemalloc.start()
    estimate(lambda w: auroc(positive, scores, w), patients, resamples=40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 250e6
