"""Operating points: goals as written, thresholds by exhaustive search, edges, and predictive values."""

import json
import subprocess
import sys
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungscope.config.recipe import Recipe
from lungscope.errors import ConfigError, DataError, UndefinedEstimate
from lungscope.stats.metrics import count
from lungscope.stats.operating_points import Goal, choose, parse_goal, predictive_values
from lungscope.stats.proportion import proportion

POSITIVE = np.array([0, 0, 1, 0, 1, 1, 0, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], np.float32)


def chosen(text, positive=POSITIVE, probabilities=PROBABILITIES, **options):
    return choose(parse_goal(text), positive, probabilities, **options)


@st.composite
def validation_data(draw):
    n = draw(st.integers(2, 30))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    positive[0], positive[-1] = True, False
    scores = draw(st.lists(st.integers(0, 12), min_size=n, max_size=n))
    return positive, np.array(scores, np.float32) / 12


def every_outcome(positive, probabilities):
    """All (sensitivity, specificity) that any threshold gives, by trying each."""
    cuts = [0.0, *np.unique(probabilities), 2.0]
    counts = [count(positive, probabilities >= cut) for cut in cuts]
    return [(float(c.sensitivity), float(c.specificity)) for c in counts]


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("sensitivity >= 0.95", Goal("sensitivity", 0.95, "sensitivity >= 0.95")),
        (" specificity>=.9 ", Goal("specificity", 0.9, "specificity>=.9")),
        ("sensitivity ≥ 1", Goal("sensitivity", 1.0, "sensitivity ≥ 1")),
        ("youden", Goal("youden", 0.0, "youden")),
        ("0.5", Goal("fixed", 0.5, "0.5")),
        ("0", Goal("fixed", 0.0, "0")),
        ("cost 5:1", Goal("cost", 5.0, "cost 5:1")),
        ("cost 1 : 2.5", Goal("cost", 0.4, "cost 1 : 2.5")),
    ],
)
def test_goals_are_read_as_written(text, goal):
    assert parse_goal(text) == goal
    assert str(goal) == goal.text


def test_the_goals_of_the_default_recipe_are_goals():
    assert [parse_goal(text).kind for text in Recipe().operating_points.values()] == [
        "sensitivity", "specificity", "youden", "fixed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("sensitivty >= 0.95", "Did you mean 'sensitivity >= 0.95'?"),
        ("specificity > 0.9", "Did you mean 'specificity >= 0.90'?"),
        ("Youden", "Did you mean 'youden'?"),
        ("youdens j", "Did you mean 'youden'?"),
        ("cost 5", "Did you mean 'cost 5:1'?"),
        (
            "best",
            "Write 'sensitivity >= 0.95', 'specificity >= 0.90', 'youden', 'cost 5:1' or a threshold such as '0.5'",
        ),
        ("", "or a threshold such as '0.5'"),
        ("-0.5", "or a threshold such as '0.5'"),
        ("nan", "or a threshold such as '0.5'"),
        ("sensitivity >= 95", "needs a fraction above 0 and at most 1. Write e.g. 'sensitivity >= 0.95'"),
        ("sensitivity >= 95%", "needs a fraction"),
        ("specificity >= 0", "needs a fraction"),
        ("1.5", "Threshold 1.5 is above 1. Write a probability such as '0.5'"),
        ("cost 0:1", "both costs must be above 0. Write e.g. 'cost 5:1'"),
    ],
)
def test_unknown_goals_are_refused_with_the_nearest_and_the_forms(text, remedy):
    with pytest.raises(ConfigError) as error:
        parse_goal(text)
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    ("text", "threshold", "sensitivity", "specificity"),
    [
        ("sensitivity >= 0.75", 0.45, 0.75, 0.75),
        ("sensitivity >= 0.76", 0.25, 1.0, 0.5),
        ("specificity >= 0.75", 0.45, 0.75, 0.75),
        ("specificity >= 0.8", 0.75, 0.25, 1.0),
        ("youden", 0.25, 1.0, 0.5),  # equal to 0.45; the lower misses less
        ("cost 1:3", 0.75, 0.25, 1.0),
        ("cost 5:1", 0.25, 1.0, 0.5),
        ("0.65", 0.65, 0.25, 0.75),
    ],
)
def test_thresholds_lie_midway_where_the_goal_wants_them(text, threshold, sensitivity, specificity):
    point = chosen(text)
    assert point.threshold == pytest.approx(threshold, abs=1e-6)
    assert (point.sensitivity.value, point.specificity.value) == (sensitivity, specificity)
    assert point.note == ""


@given(validation_data(), st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]))
@settings(max_examples=80, deadline=None)
def test_no_threshold_serves_a_goal_better(data, target):
    outcomes = every_outcome(*data)
    sensitive, specific = chosen(f"sensitivity >= {target}", *data), chosen(f"specificity >= {target}", *data)
    assert sensitive.sensitivity.value >= target
    assert sensitive.specificity.value == max(sp for se, sp in outcomes if se >= target)
    assert specific.specificity.value >= target
    assert specific.sensitivity.value == max(se for se, sp in outcomes if sp >= target)
    youden = chosen("youden", *data)
    assert youden.sensitivity.value + youden.specificity.value == pytest.approx(max(map(sum, outcomes)))


@given(validation_data(), st.sampled_from([0.2, 1.0, 5.0, 20.0]))
@settings(max_examples=80, deadline=None)
def test_no_threshold_costs_less(data, missed):
    positive, _ = data
    diseased, healthy = positive.sum(), (~positive).sum()
    costs = [missed * (1 - se) * diseased + (1 - sp) * healthy for se, sp in every_outcome(*data)]
    point = chosen(f"cost {missed}:1", *data)
    cost = missed * (1 - point.sensitivity.value) * diseased + (1 - point.specificity.value) * healthy
    assert cost == pytest.approx(min(costs))


@given(validation_data(), st.sampled_from(["sensitivity >= 0.9", "specificity >= 0.9", "youden", "cost 3:1"]))
@settings(max_examples=60, deadline=None)
def test_rounding_on_another_machine_flips_no_call(data, goal):
    positive, probabilities = data
    point = chosen(goal, positive, probabilities)
    for change in (-1e-5, 1e-5):
        moved = np.clip(probabilities + np.float32(change), 0, 1)
        np.testing.assert_array_equal(point.is_positive(moved), point.is_positive(probabilities))


def test_neighbours_without_a_middle_are_told_apart():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    point = chosen("youden", [0, 1], np.array([low, high]))
    np.testing.assert_array_equal(point.is_positive([low, high]), [False, True])
    assert point.threshold == float(high)


def test_calls_do_not_depend_on_the_precision_the_probabilities_are_held_in():
    point = chosen("0.7")
    single = np.array([0.7], np.float32)
    assert point.is_positive(single)[0]
    assert point.is_positive(single.astype(np.float64))[0]
    assert point.is_positive([0.7])[0]
    assert not point.is_positive([0.6999])[0]


def test_a_goal_met_only_by_calling_all_or_none_says_so():
    constant = np.full(8, 0.4)
    everyone = chosen("sensitivity >= 0.9", probabilities=constant)
    assert everyone.note == "every case is called positive"
    assert (everyone.sensitivity.value, everyone.specificity.value) == (1.0, 0.0)
    assert 0 < everyone.threshold < 0.4
    nobody = chosen("specificity >= 0.9", probabilities=constant)
    assert nobody.note == "no case is called positive"
    assert nobody.sensitivity.value == 0.0
    assert 0.4 < nobody.threshold < 1


def test_a_healthy_case_at_probability_one_needs_a_threshold_above_one():
    point = chosen("specificity >= 1", [0, 1, 1], [1.0, 1.0, 0.2])
    assert point.threshold > 1
    assert not point.is_positive([1.0])[0]


def test_the_intervals_are_those_of_the_patients():
    patients = np.array(list("aabbccdd"))
    point = chosen("0.45", patients=patients)
    called = PROBABILITIES >= 0.45
    assert point.sensitivity == proportion(called[POSITIVE == 1], patients[POSITIVE == 1])
    assert point.specificity == proportion(~called[POSITIVE == 0], patients[POSITIVE == 0])
    assert point.sensitivity.high - point.sensitivity.low > 0.4


def test_the_name_is_the_goal_unless_given():
    assert chosen("youden").name == "youden"
    named = chosen("sensitivity >= 0.95", name="sensitivity-95")
    assert (named.name, named.goal) == ("sensitivity-95", "sensitivity >= 0.95")


def test_an_operating_point_survives_json():
    point = chosen("specificity >= 0.9")
    fields = json.loads(json.dumps(asdict(point), allow_nan=False))
    assert fields["threshold"] == point.threshold
    assert fields["sensitivity"]["low"] == point.sensitivity.low


@pytest.mark.parametrize(
    ("goal", "positive", "missing"),
    [
        ("sensitivity >= 0.9", 0, "positive"),
        ("specificity >= 0.9", 1, "negative"),
        ("youden", 0, "positive"),
        ("cost 5:1", 1, "negative"),
    ],
)
def test_a_goal_about_an_absent_class_is_undefined_with_the_remedy(goal, positive, missing):
    with pytest.raises(UndefinedEstimate, match=f"no {missing} case to choose '{goal}' on; enlarge data.validation"):
        chosen(goal, np.full(8, positive))


def test_a_fixed_threshold_needs_no_class():
    point = chosen("0.5", np.ones(8))
    assert point.sensitivity.value == 0.5
    assert (point.specificity.value, point.specificity.reason) == (None, "no negative case")


@pytest.mark.parametrize(
    ("probabilities", "error", "message"),
    [
        ([0.1] * 7 + [np.nan], UndefinedEstimate, "1 of 8 probabilities are not numbers"),
        ([0.1] * 7 + [3.0], DataError, "Pass probabilities, not logits"),
        ([0.1] * 7, DataError, "Pass both for the same rows"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities, error, message):
    with pytest.raises(error, match=message):
        chosen("youden", probabilities=probabilities)


def test_predictive_values_are_those_of_natural_frequencies():
    # 10,000 people, 1 % diseased: 90 of 100 found, 891 of 9,900 healthy called.
    ppv, npv = predictive_values(0.9, 0.91, 0.01)
    assert ppv == pytest.approx(float(Fraction(90, 90 + 891)))
    assert npv == pytest.approx(float(Fraction(9009, 9009 + 10)))


def test_predictive_values_at_the_data_s_own_prevalence_are_those_of_the_counts():
    counts = count(POSITIVE, PROBABILITIES > 0.45)
    assert predictive_values(counts.sensitivity, counts.specificity, 0.5) == (counts.ppv, counts.npv)


def test_predictive_values_take_resamples_and_leave_undefined_ones_out():
    ppv, npv = predictive_values([0.0, 0.9, np.nan], [1.0, 0.9, 0.5], 0.5)
    np.testing.assert_allclose(ppv, [np.nan, 0.9, np.nan])
    np.testing.assert_allclose(npv, [0.5, 0.9, np.nan])


@pytest.mark.parametrize("prevalence", [0, 1, 15, -0.1, float("nan")])
def test_a_prevalence_outside_its_range_is_refused_with_the_remedy(prevalence):
    with pytest.raises(ConfigError, match="not between 0 and 1. Write a fraction such as 0.1 for 10 %"):
        predictive_values(0.9, 0.9, prevalence)


def test_percentages_of_sensitivity_are_refused():
    with pytest.raises(DataError, match="Write fractions, not percent"):
        predictive_values(90, 0.9, 0.1)


def test_a_prediction_reads_operating_points_without_loading_scipy():
    code = "import sys, lungscope.stats.operating_points; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
