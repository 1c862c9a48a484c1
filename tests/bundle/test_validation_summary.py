import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from lungscope.bundle.validation_summary import SKETCH, Curve, Validation, histogram, sketch, summarise
from lungscope.errors import ConfigError
from lungscope.stats.operating_points import choose, parse_goal


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    positive = rng.random(400) < 0.4
    p_abnormal = np.clip(rng.normal(0.3 + 0.4 * positive, 0.2), 0, 1).astype(np.float32)
    return p_abnormal, rng.normal(1, 2, (400, 96)).astype(np.float32), positive


def test_the_curve_lies_on_the_roc_curve_of_scikit_learn(images) -> None:
    p_abnormal, embeddings, positive = images
    curve = summarise(p_abnormal, embeddings, positive).curve
    assert curve is not None
    alarms, found, _ = roc_curve(positive, p_abnormal, drop_intermediate=False)
    theirs = {(round(float(f), 6), round(1 - float(a), 6)) for f, a in zip(found, alarms, strict=True)}
    assert set(zip(curve.sensitivity, curve.specificity, strict=True)) <= theirs
    assert (curve.positives, curve.negatives) == (positive.sum(), (~positive).sum())


def test_the_curve_begins_with_everything_positive_and_ends_with_nothing(images) -> None:
    curve = summarise(*images).curve
    assert curve is not None
    assert (curve.sensitivity[0], curve.specificity[0]) == (1, 0)
    assert (curve.sensitivity[-1], curve.specificity[-1]) == (0, 1)
    assert list(curve.thresholds) == sorted(curve.thresholds)
    assert len(curve.thresholds) <= 202


def test_without_a_reference_class_there_is_no_curve(images) -> None:
    p_abnormal, embeddings, _ = images
    assert summarise(p_abnormal, embeddings, None).curve is None


def test_the_reference_describes_scores_and_embeddings(images) -> None:
    p_abnormal, embeddings, positive = images
    reference = summarise(p_abnormal, embeddings, positive).reference
    assert sum(reference.shares) == pytest.approx(1, abs=1e-5)
    assert reference.mean_score == pytest.approx(p_abnormal.mean())
    assert reference.sketch_mean == pytest.approx(sketch(embeddings).mean(0), abs=1e-5)


def test_a_score_of_one_falls_into_the_last_bin() -> None:
    assert histogram(np.array([0.0, 1.0, 0.95, 0.05])) == (0.5, *[0.0] * 8, 0.5)


def test_a_sketch_keeps_distances_on_average_and_never_changes() -> None:
    a = np.random.default_rng(1).normal(size=(300, 512)).astype(np.float32)
    reduced = sketch(a)
    assert reduced.shape == (300, SKETCH)
    squared = (np.diff(reduced, axis=0) ** 2).sum(1).mean() / (np.diff(a, axis=0) ** 2).sum(1).mean()
    assert squared == pytest.approx(1, abs=0.3)
    assert sketch(np.eye(3, dtype=np.float32))[0, :2] == pytest.approx([0.441013, 0.100039], abs=1e-5)


def test_a_summary_survives_json(images) -> None:
    found = summarise(*images)
    assert isinstance(found, Validation)
    json.dumps(asdict(found), allow_nan=False)


@pytest.mark.parametrize("goal", ["sensitivity >= 0.9", "specificity >= 0.8", "youden", "cost 5:1", "0.37"])
def test_a_goal_is_served_from_the_curve_as_from_all_images(images, goal) -> None:
    p_abnormal, embeddings, positive = images
    curve = summarise(p_abnormal, embeddings, positive).curve
    assert curve is not None
    found, wanted = curve.choose(parse_goal(goal)), choose(parse_goal(goal), positive, p_abnormal)
    assert found.sensitivity.value == pytest.approx(wanted.sensitivity.value, abs=0.03)
    assert found.specificity.value == pytest.approx(wanted.specificity.value, abs=0.03)
    called = p_abnormal >= np.float32(found.threshold)
    if goal != "0.37":  # the curve tells what its next point up does
        assert found.sensitivity.value == pytest.approx(called[positive].mean(), abs=1e-6)
    assert found.sensitivity.low < found.sensitivity.value < found.sensitivity.high


def test_a_goal_from_the_curve_is_reached(images) -> None:
    curve = summarise(*images).curve
    assert curve is not None
    for share in (0.5, 0.9, 0.98, 1):
        assert curve.choose(parse_goal(f"sensitivity >= {share}")).sensitivity.value >= share - 1e-6
        assert curve.choose(parse_goal(f"specificity >= {share}")).specificity.value >= share - 1e-6


def test_intervals_of_the_curve_count_patients_not_images(images) -> None:
    p_abnormal, embeddings, positive = images
    copies = [np.repeat(each, 4, axis=0) for each in (p_abnormal, embeddings, positive)]
    once = summarise(*images).curve.choose(parse_goal("0.5")).sensitivity
    many = summarise(*copies, np.repeat(np.arange(400), 4)).curve.choose(parse_goal("0.5")).sensitivity
    assert (many.low, many.high) == pytest.approx((once.low, once.high), abs=1e-6)


def test_validation_without_a_class_serves_a_number_only() -> None:
    curve = Curve((0.0, 1.01), (1.0, 0.0), (0.0, 1.0), 10, 0)
    assert curve.choose(parse_goal("0.5")).specificity.value is None
    with pytest.raises(ConfigError, match="Give a number"):
        curve.choose(parse_goal("youden"))


def test_the_prior_is_that_of_validation(images) -> None:
    assert summarise(*images).prior == pytest.approx((1 - images[2].mean(), images[2].mean()))
    assert summarise(images[0], images[1], None).prior is None
