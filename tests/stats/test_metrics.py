"""Metrics against scikit-learn, hand-computed values and properties that any right implementation has."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.stats.estimate import Estimate
from lungscope.stats.metrics import (
    Counts,
    auroc,
    average_precision,
    confusion_matrix,
    count,
    macro_auroc,
    precision_recall_curve,
    roc_curve,
)


def cases(n=300, *, seed=0, decimals=None):
    """Labels and overlapping scores; with `decimals` many scores tie."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    scores = rng.normal(size=n) + positive
    return positive, scores if decimals is None else scores.round(decimals)


@st.composite
def labelled_scores(draw):
    n = draw(st.integers(2, 40))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    positive[0], positive[-1] = True, False
    # A grid of few values, so that ties are common and every step below is exact.
    return positive, draw(hnp.arrays(np.float64, n, elements=st.integers(-8, 8).map(float)))


def wins_by_pairs(positive, scores):
    healthy, diseased = scores[~positive], scores[positive]
    return np.mean([(d > h) + 0.5 * (d == h) for d, h in product(diseased, healthy)])


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_auroc_and_average_precision_match_scikit_learn_with_and_without_ties(decimals):
    positive, scores = cases(decimals=decimals)
    assert auroc(positive, scores) == pytest.approx(reference.roc_auc_score(positive, scores), abs=1e-12)
    expected = reference.average_precision_score(positive, scores)
    assert average_precision(positive, scores) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 1])
def test_every_row_of_weights_is_one_resample(decimals):
    positive, scores = cases(decimals=decimals)
    weights = np.random.default_rng(1).integers(0, 4, (2, 3, len(scores))).astype(np.uint16)
    areas, precisions = auroc(positive, scores, weights), average_precision(positive, scores, weights)
    assert areas.shape == precisions.shape == (2, 3)
    for at in np.ndindex(2, 3):
        kept = {"sample_weight": weights[at]}
        assert areas[at] == pytest.approx(reference.roc_auc_score(positive, scores, **kept), abs=1e-12)
        assert precisions[at] == pytest.approx(reference.average_precision_score(positive, scores, **kept), abs=1e-12)


def test_a_weight_of_two_is_the_row_twice():
    positive, scores = cases(60, decimals=0)
    twice = np.random.default_rng(2).integers(1, 4, 60)
    assert auroc(positive, scores, twice) == auroc(np.repeat(positive, twice), np.repeat(scores, twice))


def test_auroc_of_constant_scores_is_exactly_one_half():
    assert auroc([0, 1, 0, 1, 1], [0.3] * 5) == 0.5


@given(labelled_scores())
@settings(max_examples=100, deadline=None)
def test_auroc_counts_the_pairs_that_are_ordered_rightly(example):
    positive, scores = example
    assert auroc(positive, scores) == pytest.approx(wins_by_pairs(positive, scores), abs=1e-12)


@given(labelled_scores())
@settings(max_examples=100, deadline=None)
def test_auroc_keeps_under_monotone_maps_and_turns_with_the_scores(example):
    positive, scores = example
    area = auroc(positive, scores)
    assert auroc(positive, np.exp(scores)) == area
    assert auroc(positive, scores**3 - 5) == area
    assert auroc(positive, -scores) == pytest.approx(1 - area, abs=1e-12)
    assert auroc(~positive, scores) == pytest.approx(1 - area, abs=1e-12)


@given(labelled_scores(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_of_rows_means_nothing(example, random):
    positive, scores = example
    order = random.sample(range(len(scores)), len(scores))
    assert auroc(positive[order], scores[order]) == auroc(positive, scores)
    assert average_precision(positive[order], scores[order]) == average_precision(positive, scores)


def test_infinite_scores_are_ranked():
    assert auroc([0, 0, 1, 1], [-np.inf, 0.0, 0.0, np.inf]) == 0.875


def test_a_resample_without_one_class_is_undefined_while_the_others_are_not():
    positive, scores = np.array([True, False, False]), np.array([0.9, 0.1, 0.95])
    weights = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0]])
    np.testing.assert_array_equal(auroc(positive, scores, weights), [np.nan, np.nan, 1.0])
    np.testing.assert_array_equal(average_precision(positive, scores, weights), [np.nan, np.nan, 1.0])


@pytest.mark.parametrize("metric", [auroc, average_precision, roc_curve, precision_recall_curve])
@pytest.mark.parametrize(
    ("positive", "scores", "reason"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], "no negative case among 3"),
        ([0, 0], [0.1, 0.2], "no positive case among 2"),
        ([], [], "no positive case among 0"),
        ([0, 1, 1], [0.1, np.nan, 0.3], "1 of 3 scores are not numbers"),
        ([0.0, 1.0, np.nan], [0.1, 0.2, 0.3], "1 of 3 labels are not numbers"),
    ],
)
def test_what_the_data_cannot_give_is_undefined_and_says_why(metric, positive, scores, reason):
    with pytest.raises(UndefinedEstimate, match=reason):
        metric(positive, scores)


def test_labels_of_more_than_two_classes_are_refused_with_the_remedy():
    with pytest.raises(DataError, match="Pass labels == the class in question"):
        auroc([0, 1, 2], [0.1, 0.2, 0.3])


def test_columns_of_different_length_are_refused():
    with pytest.raises(DataError, match="3 and 2 rows do not fit. Pass both for the same rows"):
        auroc([0, 1, 1], [0.1, 0.2])
    with pytest.raises(DataError, match="Pass both for the same rows"):
        count([0, 1, 1], [0, 1])


def test_macro_auroc_matches_scikit_learn():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 200)
    probabilities = rng.dirichlet(np.ones(4), 200) * 0.7 + 0.3 * np.eye(4)[labels] * (rng.random((200, 1)) < 0.5)
    probabilities /= probabilities.sum(1, keepdims=True)
    weights = rng.integers(1, 3, (2, 200))
    expected = reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert macro_auroc(labels, probabilities) == pytest.approx(expected, abs=1e-12)
    weighted = [np.mean([auroc(labels == k, probabilities[:, k], row) for k in range(4)]) for row in weights]
    np.testing.assert_allclose(macro_auroc(labels, probabilities, weights), weighted)


def test_macro_auroc_names_the_class_without_cases():
    with pytest.raises(UndefinedEstimate, match="class 1 has no case among 3"):
        macro_auroc([0, 2, 2], np.full((3, 3), 1 / 3))


@pytest.mark.parametrize("decimals", [None, 1])
def test_curves_match_scikit_learn(decimals):
    positive, scores = cases(decimals=decimals)
    roc = roc_curve(positive, scores)
    false_positive_rate, sensitivity, thresholds = reference.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc.false_positive_rate, false_positive_rate)
    np.testing.assert_allclose(roc.sensitivity, sensitivity)
    np.testing.assert_array_equal(roc.thresholds, thresholds)
    precision, recall, cuts = reference.precision_recall_curve(positive, scores)
    curve = precision_recall_curve(positive, scores)
    np.testing.assert_allclose(curve.precision, precision[:-1][::-1])
    np.testing.assert_allclose(curve.recall, recall[:-1][::-1])
    np.testing.assert_array_equal(curve.thresholds, cuts[::-1])


def test_figures_of_counts_as_computed_by_hand():
    counts = Counts(true_positive=90, false_positive=30, true_negative=170, false_negative=10)
    assert counts.sensitivity == 0.9
    assert counts.specificity == 0.85
    assert counts.ppv == 0.75
    assert counts.npv == pytest.approx(170 / 180)
    assert counts.f1 == pytest.approx(180 / 220)
    assert counts.accuracy == pytest.approx(260 / 300)
    assert counts.balanced_accuracy == pytest.approx(0.875)


def test_figures_of_counts_match_scikit_learn():
    positive, scores = cases()
    predicted = scores > 0.5
    counts = count(positive, predicted)
    assert isinstance(counts.true_positive, int)
    assert counts.f1 == pytest.approx(reference.f1_score(positive, predicted))
    assert counts.ppv == pytest.approx(reference.precision_score(positive, predicted))
    assert counts.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(positive, predicted))


def test_weighted_counts_count_each_resample():
    positive, scores = cases(50)
    weights = np.random.default_rng(4).integers(0, 3, (7, 50)).astype(np.uint16)
    counts = count(positive, scores > 0.5, weights)
    for at, row in enumerate(weights):
        alone = count(np.repeat(positive, row), np.repeat(scores > 0.5, row))
        assert counts.sensitivity[at] == alone.sensitivity
        assert (counts.false_positive[at], counts.true_negative[at]) == (alone.false_positive, alone.true_negative)


@pytest.mark.parametrize(
    ("counts", "undefined"),
    [
        (Counts(0, 3, 7, 0), {"sensitivity", "balanced_accuracy"}),
        (Counts(3, 0, 0, 7), {"specificity", "balanced_accuracy"}),
        (Counts(0, 0, 7, 3), {"ppv"}),
        (Counts(3, 7, 0, 0), {"npv"}),
        (Counts(0, 0, 7, 0), {"sensitivity", "balanced_accuracy", "ppv", "f1"}),
    ],
)
def test_ratios_without_a_case_are_nan_and_only_those(counts, undefined):
    names = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy", "balanced_accuracy")
    assert {name for name in names if math.isnan(getattr(counts, name))} == undefined


def test_confusion_matrix_has_the_truth_in_rows():
    labels, predicted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 2, 2])
    matrix = confusion_matrix(labels, predicted, 4)
    np.testing.assert_array_equal(matrix, reference.confusion_matrix(labels, predicted, labels=range(4)))
    assert matrix[0, 1] == 1
    assert matrix[1, 0] == 0


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0.0, 1.0]])
def test_confusion_matrix_refuses_foreign_indices(labels):
    with pytest.raises(DataError, match="whole numbers from 0 to 2. Check the order of the classes"):
        confusion_matrix(labels, [0, 1], 3)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.91234, 0.88, 0.94), "0.912 (0.880 to 0.940)"),
        (Estimate(0.5), "0.500"),
        (Estimate(None, reason="no positive case"), "undefined (no positive case)"),
    ],
)
def test_an_estimate_reads_as_text(estimate, text):
    assert str(estimate) == text
