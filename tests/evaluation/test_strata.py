import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lungscope.data.strata import Stratum
from lungscope.evaluation.strata import HeldOut, Robustness, by_stratum, measure
from lungscope.reports.evaluation_json import strata_json
from lungscope.reports.sections.strata import strata_section, worst_stratum
from lungscope.stats.calibration import expected_calibration_error


@pytest.fixture(scope="module")
def cases() -> HeldOut:
    rng = np.random.default_rng(0)
    positive = rng.random(400) < 0.6
    p_abnormal = 1 / (1 + np.exp(-(rng.normal(0, 1.5, 400) + np.where(positive, 2.0, -2.0))))
    return HeldOut(positive, p_abnormal, tuple(f"p{i // 2}" for i in range(400)), 0.4)


def test_a_part_with_both_classes_is_judged_within(cases) -> None:
    found = measure("first", "numbers", cases, np.arange(120))
    assert found.auroc.value == pytest.approx(roc_auc_score(cases.positive[:120], cases.p_abnormal[:120]))
    own, called = cases.positive[:120], cases.p_abnormal[:120] >= 0.4
    assert found.sensitivity.value == pytest.approx(called[own].mean())
    assert found.specificity.value == pytest.approx((~called[~own]).mean())
    assert (found.n, found.patients) == (120, 60)


def test_a_part_of_one_class_stands_against_all_of_the_other(cases) -> None:
    normals = np.flatnonzero(~cases.positive)[:60]
    found = measure("normals", "series", cases, normals)
    rows = np.concatenate((normals, np.flatnonzero(cases.positive)))
    assert found.auroc.value == pytest.approx(roc_auc_score(cases.positive[rows], cases.p_abnormal[rows]))
    assert found.sensitivity.value is None
    assert found.sensitivity.reason == "no diseased patient in it"
    assert found.specificity.value == pytest.approx((cases.p_abnormal[normals] < 0.4).mean())


def test_its_calibration_error_is_that_of_the_part_repeated_to_the_size_of_its_class() -> None:
    rng = np.random.default_rng(1)
    positive, p_abnormal = np.repeat([False, True], (200, 100)), rng.random(300)
    cases = HeldOut(positive, p_abnormal, tuple(map(str, range(300))), 0.5)
    found = measure("half of the normals", "series", cases, np.arange(100))
    rows = np.concatenate((np.arange(100), np.arange(100), np.arange(200, 300)))
    assert found.ece.value == pytest.approx(float(expected_calibration_error(positive[rows], p_abnormal[rows])))
    # The same part where a third of the patients is healthy, each of them counted once for two diseased.
    other = measure("half", "series", cases, np.arange(100), diseased=2 / 3)
    twice = np.concatenate((np.arange(100), np.arange(200, 300), np.arange(200, 300)))
    assert other.ece.value == pytest.approx(float(expected_calibration_error(positive[twice], p_abnormal[twice])))


def test_intervals_hold_the_value(cases) -> None:
    for estimate in (measure("all", "all", cases).auroc, measure("all", "all", cases).ece):
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high


def test_the_worst_part_is_named(cases) -> None:
    normals = np.flatnonzero(~cases.positive)
    worst = normals[np.argsort(-cases.p_abnormal[normals])[:60]]
    found = by_stratum(cases, (Stratum("bad", "cluster", np.sort(worst)), Stratum("IM", "series", normals)))
    assert found.worst("auroc") is found.strata[1]
    assert found.worst("auroc", ("series",)) is found.strata[2]
    assert "(bad)" in worst_stratum(found)
    document = json.loads(json.dumps(strata_json(found), allow_nan=False))
    assert document["worst"]["auroc"] == "bad"
    assert document["strata"][1]["sensitivity"] == {
        "value": None, "ci95": None, "reason": "no diseased patient in it"
    }  # fmt: skip


def test_the_section_has_a_row_for_each_part_and_no_identifiers(cases) -> None:
    section = strata_section(by_stratum(cases, (Stratum("IM", "series", np.arange(100)),)))
    assert [row[0] for row in section.tables[0].rows] == ["all held-out images", "IM"]
    assert "p1" not in repr(section.tables)


def test_nothing_to_judge_is_said() -> None:
    assert "No stratum is large enough" in worst_stratum(Robustness(()))
