"""`lungscope evaluate --scores`: a whole report without a model."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from lungscope.stats.metrics import auroc


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Scores of 120 images of 60 patients, of both sexes."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 120)
    values = np.clip(rng.normal(0.35 + 0.3 * truth, 0.2), 0, 1).round(4)
    rows = [
        (("NORMAL", "PNEUMONIA")[y], p, f"q{i // 2}", "FM"[i // 2 % 2])
        for i, (y, p) in enumerate(zip(truth, values, strict=True))
    ]
    with (tmp_path / "scores.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("label", "score", "patient", "sex"), *rows])
    return tmp_path / "scores.csv"


def test_scores_get_the_whole_report(run, scores: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    options = ["--threshold", 0.4, "--threshold", 0.6, "--prevalence", 0.1]
    assert run("evaluate", "--scores", scores, "--out", out, *options) == 0
    printed = capsys.readouterr().out
    assert "120 scores of 60 patients." in printed
    assert f"Report: {out / 'report.html'}" in printed
    document = json.loads((out / "evaluation.json").read_text())
    rows = list(csv.DictReader(scores.read_text().splitlines()))
    truth = np.array([row["label"] == "PNEUMONIA" for row in rows])
    assert document["auroc"]["value"] == pytest.approx(auroc(truth, [float(row["score"]) for row in rows]), abs=1e-6)
    assert list(document["operating_points"]) == ["threshold 0.4", "threshold 0.6"]
    assert document["expected_prevalence"] == 0.1
    assert set(document["subgroups"]["columns"]) == {"sex"}
    assert document["model"] is None
    page = (out / "report.html").read_text()
    for link in ("evaluation.json", "estimates.csv", "curves/roc.csv"):
        assert f'href="{link}"' in page
        assert (out / link).is_file()
    assert "predictions.csv" not in page


def test_as_json_they_are_what_the_file_holds(run, scores: Path, tmp_path: Path, capsys) -> None:
    assert run("evaluate", "--scores", scores, "--out", tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "evaluation.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}"], "Leave DATA out"),
        (["--model", "{folder}"], "Leave --model out"),
        (["{folder}", "--adapt-prior", "--ood", "{folder}"], "Leave DATA and --ood and --adapt-prior out"),
        (["--threshold", "1.5"], "Threshold 1.5 is no probability"),
    ],
)
def test_scores_go_with_no_model_and_no_images(refused, scores: Path, arguments, message: str) -> None:
    words = [word.format(folder=scores.parent) for word in arguments]
    assert message in refused("evaluate", "--scores", scores, *words)


def test_something_must_be_named(refused, scores: Path) -> None:
    assert "Name DATA, or --scores FILE.csv" in refused("evaluate")
    assert "Leave --threshold out" in refused("evaluate", scores.parent, "--threshold", 0.4)
    assert "line 3: the label is empty" in refused("evaluate", "--scores", _without_a_label(scores))


def _without_a_label(scores: Path) -> Path:
    lines = scores.read_text().splitlines()
    lines[2] = "," + lines[2].partition(",")[2]
    scores.write_text("\n".join(lines))
    return scores
