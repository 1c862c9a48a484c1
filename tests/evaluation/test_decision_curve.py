"""Net benefit against its definition (Vickers & Elkin 2006)."""

import numpy as np
import pytest

from lungscope.errors import UndefinedEstimate
from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.decision_curve import decision_curve, decisions
from lungscope.evaluation.skipped import Skipped
from lungscope.reports.sections.decision_curve import decision_section


def cases(n=600, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    return truth, 1 / (1 + np.exp(-rng.normal(2.2 * truth - 1.6, 1))), np.arange(n)


def test_net_benefit_is_hits_less_weighted_alarms():
    truth, scores, patients = cases()
    curve = decision_curve(truth, scores, patients, resamples=100)
    for risk in (0.1, 0.25, 0.6):
        i = round(100 * risk) - 1
        called = scores >= risk
        hits, alarms = (truth & called).mean(), (~truth & called).mean()
        assert curve.model[i] == pytest.approx(hits - alarms * risk / (1 - risk))
        assert curve.everybody[i] == pytest.approx(truth.mean() - (1 - truth.mean()) * risk / (1 - risk))
        assert curve.low[i] <= curve.model[i] <= curve.high[i]


def test_acting_on_everybody_breaks_even_at_the_prevalence():
    truth, scores, patients = cases()
    curve = decision_curve(truth, scores, patients, resamples=50)
    assert np.interp(truth.mean(), curve.risks, curve.everybody) == pytest.approx(0, abs=2e-3)


def test_a_useless_score_beats_nobody_and_everybody_nowhere():
    truth, _, patients = cases()
    scores = np.random.default_rng(1).uniform(0.25, 0.35, len(truth))
    curve = decision_curve(truth, scores, patients, resamples=300)
    assert (curve.gain_low > 0).sum() <= 2
    assert "At no risk" in decision_section(decision_curve(truth, np.full(len(truth), 0.3), patients)).lead


def test_one_class_has_no_curve_and_says_why():
    with pytest.raises(UndefinedEstimate, match="no negative case"):
        decision_curve(np.ones(20), np.linspace(0, 1, 20), np.arange(20))
    skipped = decisions(check_cases(np.ones(20, int), np.full((20, 2), 0.5), np.arange(20), ("a", "b")))
    assert isinstance(skipped, Skipped)
    assert "There is no decision curve: no negative case" in decision_section(skipped).lead


def test_few_patients_have_a_curve_without_intervals():
    truth, scores, _ = cases(40)
    curve = decision_curve(truth, scores, np.arange(40) % 5)
    assert curve.low is None
    page = decision_section(curve)
    assert "too few patients" in page.lead
    assert page.tables[0].rows[0][1].reason == "too few patients for an interval"
