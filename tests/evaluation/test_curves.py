"""Curves behind the plots: against scikit-learn, and the band against a second bootstrap."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from lungscope.errors import UndefinedEstimate
from lungscope.evaluation.curves import roc_band, trace


def cases(n: int = 200, seed: int = 0):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    scores = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * positive)))
    return positive, scores, [f"p{i}" for i in range(n)]


def test_the_histogram_counts_every_case_of_every_class_once() -> None:
    positive, scores, patients = cases()
    scores[:2] = 0.0, 1.0
    curves = trace(positive, scores, positive.astype(np.int64), patients, 2, resamples=50)
    assert curves.histogram.counts.sum(axis=1).tolist() == [int((~positive).sum()), int(positive.sum())]
    assert curves.histogram.counts[1].tolist() == np.histogram(scores[positive], curves.histogram.edges)[0].tolist()


def test_the_band_holds_the_curve_and_agrees_with_a_plain_bootstrap() -> None:
    positive, scores, patients = cases()
    band = roc_band(positive, scores, patients, resamples=400, seed=1)
    rng, drawn = np.random.default_rng(9), []
    for _ in range(400):
        rows = rng.integers(0, len(scores), len(scores))
        rate, found, _ = roc_curve(positive[rows], scores[rows], drop_intermediate=False)
        drawn.append(np.interp(band.false_positive_rate, rate, found))
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    # Single points jump where the curve is steep.
    assert np.abs(band.low - low).mean() < 0.02
    assert np.abs(band.high - high).mean() < 0.02
    rate, found, _ = roc_curve(positive, scores, drop_intermediate=False)
    curve = np.interp(band.false_positive_rate, rate, found)
    assert (band.low <= curve + 1e-9).mean() > 0.95
    assert (curve <= band.high + 1e-9).mean() > 0.95


def test_the_band_widens_when_patients_have_several_images() -> None:
    positive, scores, patients = cases(60)
    rows = np.repeat(np.arange(60), 4)
    alone = roc_band(positive[rows], scores[rows], [f"q{i}" for i in range(240)], resamples=300)
    grouped = roc_band(positive[rows], scores[rows], np.array(patients)[rows], resamples=300)
    assert (grouped.high - grouped.low).mean() > 1.5 * (alone.high - alone.low).mean()


def test_the_band_survives_resamples_that_lack_a_class() -> None:
    positive, scores, patients = cases(40)
    positive[:] = False
    positive[:4] = True
    band = roc_band(positive, scores, patients, resamples=300)
    assert np.isfinite(band.low).all()


def test_too_few_patients_give_a_curve_without_a_band() -> None:
    positive, scores, _ = cases(30)
    patients = ["a", "b", "c"] * 10
    with pytest.raises(UndefinedEstimate, match="fewer than 10 patients"):
        roc_band(positive, scores, patients)
    curves = trace(positive, scores, positive.astype(np.int64), patients, 2)
    assert curves.roc is not None
    assert curves.band is None


def test_one_class_gives_no_curve_but_reliability_and_a_reason() -> None:
    _, scores, patients = cases(30)
    curves = trace(np.ones(30, bool), scores, np.ones(30, np.int64), patients, 2)
    assert (curves.roc, curves.precision_recall) == (None, None)
    assert "no negative case" in curves.reason
    assert curves.reliability.count.sum() == 30
