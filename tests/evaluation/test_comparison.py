"""Leaderboards: figures and tests against direct calls, seeds, several classes, and what is undefined."""

import numpy as np
import pytest
from sklearn import metrics as reference

from lungscope.errors import DataError
from lungscope.evaluation.comparison import Candidate, Comparison, Failure, compare
from lungscope.stats.comparison import delong, holm, mcnemar

CLASSES = ("NORMAL", "PNEUMONIA")
N = 240
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, N)
PATIENTS = tuple(f"p{i}" for i in RNG.integers(0, 150, N))


def columns(skill: float, seed: int) -> np.ndarray:
    logit = np.random.default_rng(seed).normal(size=N) + skill * (LABELS - 0.5)
    p = 1 / (1 + np.exp(-logit))
    return np.column_stack([1 - p, p])


def candidate(name: str, skill: float, seeds: int, first: int) -> Candidate:
    rows = tuple(columns(skill, first + i) for i in range(seeds))
    return Candidate(name, tuple(range(seeds)), rows)


def board(*candidates: Candidate, **options) -> Comparison:
    return compare(LABELS, PATIENTS, CLASSES, candidates, resamples=200, **options)


def test_one_seed_gives_the_tests_of_direct_calls() -> None:
    a, b, c = (candidate(*each, 1, first) for *each, first in (("a", 4, 10), ("b", 1, 20), ("c", 2.5, 30)))
    found = board(b, a, c)
    assert [each.name for each in found.standings] == ["a", "c", "b"]
    scores = {each.name: each.probabilities[0][:, 1] for each in (a, b, c)}
    areas = [delong(LABELS, scores["a"], scores[name], PATIENTS) for name in "cb"]
    right = {name: (score > 0.5) == LABELS for name, score in scores.items()}
    accuracies = [mcnemar(right["a"], right[name], PATIENTS) for name in "cb"]
    behind = [each.difference for each in found.standings[1:]]
    assert [each.auroc.p_value for each in behind] == pytest.approx([each.p_value for each in areas])
    assert [each.auroc.corrected for each in behind] == pytest.approx(holm([each.p_value for each in areas]))
    assert [each.auroc_difference.value for each in behind] == pytest.approx([each.difference for each in areas])
    assert [each.accuracy.corrected for each in behind] == pytest.approx(holm([each.p_value for each in accuracies]))
    assert [each.accuracy_difference for each in behind] == pytest.approx([each.difference for each in accuracies])


def test_figures_are_scikit_learns() -> None:
    (found,) = board(candidate("a", 2, 1, 3)).standings
    p = columns(2, 3)[:, 1]
    assert found.auroc.value == pytest.approx(reference.roc_auc_score(LABELS, p))
    for at in found.thresholds:
        called = p >= at.threshold
        assert at.sensitivity.value == pytest.approx(reference.recall_score(LABELS, called))
        assert at.specificity.value == pytest.approx(reference.recall_score(LABELS, called, pos_label=0))
        assert at.ppv.value == pytest.approx(reference.precision_score(LABELS, called))
        assert at.f1.value == pytest.approx(reference.f1_score(LABELS, called))
    assert (found.sensitivity, found.f1) == (found.thresholds[0].sensitivity, found.thresholds[0].f1)
    assert found.accuracy.value == pytest.approx(reference.accuracy_score(LABELS, p >= 0.5))
    assert found.auroc.low < found.auroc.value < found.auroc.high


def test_several_seeds_are_averaged_and_their_tests_combined_by_twice_the_median() -> None:
    a, b = candidate("a", 3, 3, 0), candidate("b", 2, 3, 50)
    leader, other = board(b, a).standings
    areas = [reference.roc_auc_score(LABELS, rows[:, 1]) for rows in a.probabilities]
    assert leader.auroc_by_seed == pytest.approx(areas)
    assert leader.auroc.value == pytest.approx(np.mean(areas))
    assert leader.spread == pytest.approx(np.std(areas, ddof=1))
    pairs = zip(a.probabilities, b.probabilities, strict=True)
    each = [delong(LABELS, x[:, 1], y[:, 1], PATIENTS).p_value for x, y in pairs]
    assert other.difference.auroc.p_value == pytest.approx(min(1, 2 * np.median(each)))
    rates = leader.roc.false_positive_rate
    curve = [reference.roc_curve(LABELS, rows[:, 1], drop_intermediate=False) for rows in a.probabilities]
    wanted = np.mean([np.interp(rates, x, y) for x, y, _ in curve], axis=0)
    assert leader.roc.sensitivity[1:] == pytest.approx(wanted[1:])


def test_worse_needs_three_seeds_a_corrected_p_and_one_direction() -> None:
    clear = board(candidate("a", 5, 3, 0), candidate("b", 0.5, 3, 50))
    assert clear.decisive
    assert clear.standings[1].difference.significant
    assert not board(candidate("a", 5, 2, 0), candidate("b", 0.5, 2, 50)).decisive
    close = board(candidate("a", 2, 3, 0), candidate("b", 2, 3, 50))
    assert not close.standings[1].difference.significant
    good, bad = columns(5, 1), columns(0.1, 2)
    crossed = board(Candidate("a", (0, 1, 2), (good, good, bad)), Candidate("b", (0, 1, 2), (bad, bad, good)))
    assert not crossed.standings[1].difference.in_every_seed
    assert not crossed.standings[1].difference.significant


def test_a_method_without_predictions_stays_a_line_and_none_at_all_is_refused() -> None:
    failure = Failure("c", "out of memory")
    assert board(candidate("a", 1, 1, 0), failures=[failure]).failures == (failure,)
    with pytest.raises(DataError, match="out of memory"):
        board(failures=[failure])


def test_one_class_gives_reasons_instead_of_figures() -> None:
    rows = [Candidate(name, (0,), (columns(1, seed),)) for name, seed in (("a", 1), ("b", 2))]
    found = compare(np.zeros(N, int), PATIENTS, CLASSES, rows, resamples=50)
    leader, other = found.standings
    assert (leader.auroc.value, leader.auroc.reason) == (None, "no case is PNEUMONIA")
    assert leader.sensitivity.reason == "no positive case"
    assert leader.roc is None
    assert leader.auroc_by_seed == ()
    assert other.difference.auroc.p_value is None
    assert other.difference.auroc.reason == "no positive case among 240"
    assert other.difference.accuracy.p_value is not None
    assert leader.accuracy.value >= other.accuracy.value


def test_constant_scores_have_no_auroc() -> None:
    flat = Candidate("flat", (0,), (np.full((N, 2), 0.5),))
    found = board(candidate("a", 2, 1, 0), flat).standings[1]
    assert found.auroc.reason == "every case has the same score"
    assert found.roc is None
    assert found.difference.auroc_difference.value is None
    assert not found.difference.significant


def test_few_patients_give_no_interval() -> None:
    found = compare(LABELS, [f"p{i % 5}" for i in range(N)], CLASSES, [candidate("a", 2, 1, 0)])
    assert found.patients == 5
    assert found.standings[0].auroc.low is None
    assert "fewer than 10 patients" in found.standings[0].auroc.reason


@pytest.mark.parametrize("has_reference", [True, False])
def test_three_classes_are_ranked_by_the_mean_over_classes(three, has_reference: bool) -> None:
    worse = np.full((len(three.labels), 3), 1 / 3) * 0.8 + 0.2 * three.probabilities[::-1]
    rows = [Candidate("a", (0,), (three.probabilities,)), Candidate("b", (0,), (worse,))]
    found = compare(three.labels, three.patients, three.classes, rows, has_reference=has_reference, resamples=200)
    leader, other = found.standings
    shares = three.probabilities / three.probabilities.astype(float).sum(1, keepdims=True)
    assert leader.auroc.value == pytest.approx(
        reference.roc_auc_score(three.labels, shares, multi_class="ovr"), abs=1e-6
    )
    assert leader.f1.value == pytest.approx(reference.f1_score(three.labels, shares.argmax(1), average="macro"))
    assert other.difference.auroc.p_value < 0.001
    assert bool(leader.thresholds) is has_reference
    assert leader.sensitivity.reason == ("" if has_reference else "no class is the reference")
