"""Subgroups: every figure is that of the group alone, gaps are tested, small groups are said to be small."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.subgroups import measure_subgroups
from lungscope.reports.evaluation_json import subgroups_json
from lungscope.reports.sections.subgroups import subgroups_section
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint

POINT = OperatingPoint("half", "0.5", 0.5, Estimate(0.9), Estimate(0.9))


@pytest.fixture(scope="module")
def world():
    """Six hundred cases; at site B the model hardly works, and site C has few."""
    rng = np.random.default_rng(0)
    n = 600
    labels = (rng.random(n) < 0.5).astype(int)
    site = np.where(rng.random(n) < 0.5, "A", "B")
    site[:30] = "C"
    gain = np.where(site == "B", 0.5, 1.5)
    p_abnormal = 1 / (1 + np.exp(-rng.normal(gain * (labels - 0.5) * 2, 1)))
    columns = np.column_stack([1 - p_abnormal, p_abnormal])
    cases = check_cases(labels, columns, [f"p{i}" for i in range(n)], ("NORMAL", "PNEUMONIA"))
    sex = np.where(rng.random(n) < 0.5, "F", "M")
    extra = {"site": tuple(site), "sex": tuple(sex), "remark": tuple(f"r{i}" for i in range(n))}
    return cases, extra, measure_subgroups(cases, extra, POINT)


def test_figures_are_those_of_the_group_alone(world):
    cases, extra, found = world
    rows = np.array(extra["site"]) == "B"
    group = next(each for each in found.groupings[0].groups if each.name == "B")
    assert group.n == rows.sum()
    assert group.auroc.value == pytest.approx(roc_auc_score(cases.labels[rows], cases.p_abnormal[rows]))
    called = cases.p_abnormal[rows] >= 0.5
    assert group.sensitivity.value == pytest.approx(called[cases.labels[rows] == 1].mean())
    assert group.specificity.value == pytest.approx((~called)[cases.labels[rows] == 0].mean())


def test_a_real_gap_is_found_and_a_chance_one_is_not(world):
    *_, found = world
    site, sex = found.groupings
    assert {each.estimate for each in site.differences if each.corrected < 0.001} >= {"auroc", "sensitivity"}
    assert (site.differences[0].higher, site.differences[0].lower) == ("A", "B")
    assert min(each.corrected for each in sex.differences) > 0.05
    # Corrected for six tests: two columns, three figures.
    smallest = min(site.differences, key=lambda each: each.gap.p_value)
    assert smallest.corrected == pytest.approx(min(1, 6 * smallest.gap.p_value))


def test_small_groups_are_shown_but_not_compared(world):
    *_, found = world
    small = next(each for each in found.groupings[0].groups if each.name == "C")
    assert small.small
    assert all("C" not in (each.higher, each.lower) for each in found.groupings[0].differences)
    rows = subgroups_section(found).tables[0].rows
    assert [row[0] for row in rows] == ["A", "B", "C (small)"]


def test_columns_that_give_no_groups_are_named_with_the_reason(world):
    *_, found = world
    assert found.refused[0].startswith("Column remark has 600 different values")
    section = subgroups_section(found)
    assert any("differs by site" in warning for warning in section.warnings)
    assert not any("r17" in warning for warning in section.warnings)


def test_json_holds_the_groups_the_gaps_and_what_was_refused(world):
    *_, found = world
    document = json.loads(json.dumps(subgroups_json(found), allow_nan=False))
    assert set(document["columns"]) == {"site", "sex"}
    assert document["columns"]["site"]["largest_gaps"]["auroc"]["lower"] == "B"
    assert document["columns"]["sex"]["groups"]["F"]["auroc"]["ci95"]


def test_a_group_of_one_class_has_reasons_in_place_of_figures():
    labels = np.array([0] * 20 + [1] * 20 + [1] * 20)
    p_abnormal = np.linspace(0.1, 0.9, 60)
    cases = check_cases(labels, np.column_stack([1 - p_abnormal, p_abnormal]), np.arange(60), ("N", "P"))
    found = measure_subgroups(cases, {"site": ("A",) * 40 + ("B",) * 20}, POINT)
    group = found.groupings[0].groups[1]
    assert (group.auroc.value, group.specificity.value) == (None, None)
    assert "every case is P" in group.auroc.reason
    assert found.groupings[0].differences == ()


def test_without_a_reference_class_only_calibration_is_given():
    rng = np.random.default_rng(0)
    columns = rng.dirichlet([1, 1, 1], 90)
    cases = check_cases(rng.integers(0, 3, 90), columns, np.arange(90), ("A", "B", "C"))
    found = measure_subgroups(cases, {"sex": ("F", "M") * 45}, None)
    assert found.groupings[0].groups[0].sensitivity.reason == "no class is the reference"
    assert found.groupings[0].groups[0].ece.value is not None
