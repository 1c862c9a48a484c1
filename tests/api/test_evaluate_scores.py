"""Scores without a model: tables of every kind, and that the figures are those of a model's evaluation."""

import re
from pathlib import Path

import numpy as np
import pytest

from lungscope.api.evaluation import evaluate as evaluate_scores
from lungscope.data.score_table import read_scores
from lungscope.errors import ConfigError, DataError, OutputError
from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.decision_curve import DecisionCurve
from lungscope.evaluation.evaluate import evaluate
from lungscope.stats.metrics import auroc

N = 120
RNG = np.random.default_rng(3)
TRUTH = RNG.integers(0, 2, N)
SCORES = np.clip(RNG.normal(0.35 + 0.3 * TRUTH, 0.2), 0, 1).round(6)
PATIENTS = np.array([f"p{i // 2}" for i in range(N)])
THREE = RNG.dirichlet((1, 1, 1), N)


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "scores.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_figures_are_those_of_a_models_evaluation() -> None:
    both = np.column_stack([1 - SCORES, SCORES])
    found = evaluate_scores(TRUTH, both, patients=PATIENTS, classes=("NORMAL", "PNEUMONIA")).evaluation
    own = evaluate(check_cases(TRUTH, both, PATIENTS, ("NORMAL", "PNEUMONIA")), ())
    assert (found.auroc, found.ece, found.recalibration) == (own.auroc, own.ece, own.recalibration)
    assert found.auroc.value == pytest.approx(auroc(TRUTH, SCORES))
    point = found.operating_points[0]
    assert point.point.threshold == 0.5
    assert point.estimates.sensitivity.value == pytest.approx((SCORES[TRUTH == 1] >= 0.5).mean())


def test_one_column_of_scores_is_that_of_the_second_class() -> None:
    one = evaluate_scores(TRUTH, SCORES).measurements
    two = evaluate_scores(TRUTH, np.column_stack([1 - SCORES, SCORES])).measurements
    assert one.evaluation.auroc == two.evaluation.auroc
    assert one.evaluation.classes == ("0", "1")
    assert isinstance(one.decision_curve, DecisionCurve)


def test_names_as_labels_put_the_reference_first() -> None:
    names = np.where(TRUTH == 1, "EFFUSION", "NORMAL")
    found = evaluate_scores(names, SCORES, thresholds=(0.3, 0.6), prevalence=0.1).evaluation
    assert found.classes == ("NORMAL", "EFFUSION")
    assert [each.point.threshold for each in found.operating_points] == [0.3, 0.6]
    assert found.operating_points[0].ppv_expected is not None
    assert found.auroc.value == pytest.approx(auroc(TRUTH, SCORES))


def test_the_report_has_what_needs_no_model(tmp_path: Path) -> None:
    found = evaluate_scores(TRUTH, SCORES, patients=PATIENTS, columns={"sex": ["F", "M"] * (N // 2)})
    page = found.report(tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    places = set(re.findall(r'<section id="([^"]+)"', page))
    assert places == {
        "summary", "estimates", "points", "discrimination", "calibration", "classes", "decision-curve", "subgroups"
    }  # fmt: skip
    assert set(re.findall(r'<a href="#([^"]+)"', page)) == places
    assert "at threshold 0.5, from a probability of 0.500 on" in page
    assert "p17" not in page
    with pytest.raises(OutputError):
        found.report(tmp_path / "out" / "report.html" / "x.html")


def test_three_classes_without_a_reference_have_no_operating_point() -> None:
    labels = THREE.argmax(1)
    found = evaluate_scores(labels, THREE, classes=("a", "b", "c")).measurements
    assert found.evaluation.operating_points == ()
    assert found.decision_curve is None
    assert found.evaluation.auroc.value > 0.9
    with_reference = evaluate_scores(labels, THREE, classes=("normal", "b", "c")).measurements
    assert with_reference.evaluation.operating_points
    assert isinstance(with_reference.decision_curve, DecisionCurve)


@pytest.mark.parametrize(
    ("labels", "probabilities", "more", "says"),
    [
        (["a", "b", "x"], [0.1, 0.2, 0.3], {"classes": ("a", "b")}, "'x'"),
        ([0, 1, 2], [0.1, 0.2, 0.3], {}, "whole numbers"),
        ([0, 1], [0.1, 1.4], {}, "1.4"),
        ([0, 1], [0.1, float("nan")], {}, "not a number"),
        ([0, 1, 1], [0.1, 0.4], {}, "3 and 2"),
        ([], [], {}, "no case"),
        ([0, 1], [[0.5, 0.5], [0.9, 0.2]], {}, "sum to 1"),
        ([0, 1], [0.1, 0.4], {"columns": {"sex": ["F"]}}, "sex"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(labels, probabilities, more, says) -> None:
    with pytest.raises(DataError, match=says):
        evaluate_scores(np.array(labels, int if not labels else None), probabilities, **more)


@pytest.mark.parametrize("more", [{"thresholds": 1.5}, {"prevalence": 2.0}])
def test_settings_outside_their_range_are_refused(more) -> None:
    with pytest.raises(ConfigError):
        evaluate_scores(TRUTH, SCORES, **more)


def test_a_table_gives_back_what_was_written(tmp_path: Path) -> None:
    lines = ["label,NORMAL,PNEUMONIA,Patient_ID,sex"]
    lines += [
        f"{('NORMAL', 'PNEUMONIA')[t]},{1 - s:.6f},{s:.6f},{p},{'FM'[i % 2]}"
        for i, (t, s, p) in enumerate(zip(TRUTH, SCORES, PATIENTS, strict=True))
    ]
    found = read_scores(table(tmp_path, "\r\n".join(lines), "utf-8-sig"))
    assert found.classes == ("NORMAL", "PNEUMONIA")
    assert np.array_equal(found.labels, TRUTH)
    assert np.allclose(found.probabilities[:, 1], SCORES)
    assert found.patients == tuple(PATIENTS)
    assert list(found.columns) == ["sex"]
    measured = evaluate_scores(
        found.labels, found.probabilities, patients=found.patients, classes=found.classes, columns=found.columns
    ).measurements
    assert measured.subgroups is not None
    assert [each.column for each in measured.subgroups.groupings] == ["sex"]
    assert "p0" not in repr(found)
