"""The statistics at the command line: shift, prevalence, thresholds, and what a report says of them."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.bundle.bundle import load_bundle
from lungscope.cli.options import chosen_point

TINY = [
    "--recipe", "scratch", "--weights", "none", "--set", "network.backbone=cnn-4-8", "--set", "image.size=32",
    "--set", "finetune.epochs=2", "--set", "input_check.enabled=false",
]  # fmt: skip


def write(root: Path, patients: int, *, both: bool = True, constant: bool = False) -> Path:
    """Two images per patient; the diseased have a bright square."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        diseased = not both or patient % 2 == 1
        for image in range(2):
            pixels = np.full((40, 40), 90.0) if constant else rng.normal(90, 20, (40, 40))
            pixels[10:22, 10:22] += 70 * diseased * (not constant)
            path = root / f"image{patient}_{image}.png"
            root.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
            sex, age = "FM"[patient // 2 % 2], str(20 + patient)
            rows.append([path.name, ("NORMAL", "PNEUMONIA")[diseased], f"q{patient}", sex, age, f"s{patient}{image}"])
    with (root / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "patient", "sex", "age", "study_id"], *rows])
    return root / "table.csv"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def evaluated(run, model: Path, data: Path, out: Path, *options: object) -> dict:
    words = ["evaluate", data, "--model", model, "--split", "all", "--out", out, "--no-heat-checks", *options]
    assert run(*words) == 0
    return json.loads((out / "evaluation.json").read_text())


def test_the_report_has_the_sections_and_the_json_their_data(run, model: Path, tmp_path: Path, capsys) -> None:
    document = evaluated(run, model, write(tmp_path / "more", 60), tmp_path / "out", "--adapt-prior")
    assert {"calibration", "decision_curve", "shift", "subgroups", "label_shift"} <= set(document)
    assert set(document["subgroups"]["columns"]) == {"sex", "age"}
    page = (tmp_path / "out" / "report.html").read_text()
    for title in ("Calibration, before and after", "Decision curve", "Compared with validation", "Subgroups"):
        assert f"<h2>{title}</h2>" in page
    assert "Column study_id looks like an identifier" in page
    assert not re.search(r"\bq\d+\b|\bs\d{2,}\b|image\d+_", page)
    assert "Estimated without labels: NORMAL" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "undefined", "reason"),
    [
        ({"patients": 20, "both": False}, ("auroc", "average_precision", "balanced_accuracy"), "every case is"),
        ({"patients": 20, "constant": True}, ("auroc", "average_precision"), "same score"),
    ],
)
def test_what_the_data_cannot_give_is_undefined_at_every_door(
    run, model: Path, tmp_path: Path, capsys, kind, undefined, reason
) -> None:
    document = evaluated(run, model, write(tmp_path / "data", **kind), tmp_path / "out", "--adapt-prior")
    shown, page = capsys.readouterr().out, (tmp_path / "out" / "report.html").read_text()
    for name in undefined:
        assert document[name]["value"] is None
        assert document[name]["reason"]
    assert re.search(r"auroc\s+undefined \(", shown)
    assert document["auroc"]["reason"] in shown.replace("\n", " ")
    assert reason in document["auroc"]["reason"] or reason in json.dumps(document)
    assert document["auroc"]["reason"] in page
    assert document["label_shift"]["refused"]


def test_five_patients_give_figures_without_intervals_and_say_so(run, model: Path, tmp_path: Path) -> None:
    document = evaluated(run, model, write(tmp_path / "data", 5), tmp_path / "out")
    for name in ("auroc", "brier", "ece"):
        assert document[name]["ci95"] is None
        assert "fewer than 10 patients" in document[name]["reason"]
    assert document["decision_curve"]["low"] is None
    assert "fewer than 10 patients" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("label", ["nan", "", "NaN"])
def test_a_missing_label_is_refused_with_the_row(refused, model: Path, tmp_path: Path, label: str) -> None:
    data = write(tmp_path / "data", 12)
    lines = data.read_text().splitlines()
    lines[3] = lines[3].replace("PNEUMONIA", label).replace("NORMAL", label)
    data.write_text("\n".join(lines) + "\n")
    message = refused("evaluate", data, "--model", model, "--split", "all")
    assert "label" in message or "class" in message


def test_a_threshold_moves_at_prediction_time(run, model: Path, tmp_path: Path) -> None:
    image = next((write(tmp_path / "data", 2).parent).glob("*.png"))
    for options, point in (
        (["--threshold", 0.37], "0.37"),
        (["--operating-point", "sensitivity >= 0.98"], "sensitivity >= 0.98"),
        (["--operating-point", "youden"], "youden"),
    ):
        out = tmp_path / "out.csv"
        assert run("predict", image, "--model", model, "--out", out, *options) == 0
        (row,) = table(out)
        assert row["operating_point"] == point
        flagged = float(row["p_abnormal"]) >= float(row["threshold"])
        assert row["finding"] == ("PNEUMONIA" if flagged else "NORMAL")


def test_predictive_values_at_an_entered_prevalence(run, model: Path, tmp_path: Path, capsys) -> None:
    image = next((write(tmp_path / "data", 2).parent).glob("*.png"))
    assert run("predict", image, "--model", model, "--prevalence", 0.1) == 0
    assert "Where 10% are diseased" in capsys.readouterr().err
    assert run("describe", model, "--prevalence", 0.1) == 0
    assert "PPV" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--threshold", 0.3, "--operating-point", "half"], "Leave one of them out"),
        (["--threshold", 1.4], "Give one from 0 to 1"),
        (["--operating-point", "sensitivty >= 0.9"], "Did you mean 'sensitivity >= 0.95'"),
        (["--prevalence", 3], "Write a fraction such as 0.1"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(refused, model: Path, tmp_path: Path, options, remedy) -> None:
    image = next((write(tmp_path / "data", 2).parent).glob("*.png"))
    assert remedy in refused("predict", image, "--model", model, *options)


def test_a_threshold_is_written_without_exponent() -> None:
    assert [chosen_point(None, value) for value in (0.37, 1.0, 0.00001, 0.0)] == ["0.37", "1", "0.00001", "0"]
    assert chosen_point("half", None) == "half"


def test_fractions_give_a_learning_curve(run, refused, tmp_path: Path) -> None:
    data, out = write(tmp_path / "data", 60), tmp_path / "out"
    words = ["compare", data, "--recipes", "scratch", "--fractions", "0.25,1", "--out", out, *TINY[2:]]
    assert run(*words) == 0
    rows = table(out / "learning.csv")
    assert [row["fraction"] for row in rows] == ["0.25", "1.0"]
    assert int(rows[0]["images"]) < int(rows[1]["images"])
    splits = [{row["path"]: row["split"] for row in table(out / "splits" / name)} for name in ("1-0.25.csv", "1.csv")]
    assert set(splits[0].items()) < set(splits[1].items())
    card = load_bundle(out / "scratch" / "seed-0").card
    assert card.calibration.method in ("none", "temperature", "platt")
    assert card.calibration.reason
    assert sum(card.prior) == pytest.approx(1)
    assert card.validation.outcome.patients > 0
    assert card.operating_points[0].sensitivity.low is not None
    page = (out / "leaderboard.html").read_text()
    assert "<h2>Learning curve</h2>" in page
    assert run(*words) == 0  # what is finished is not trained again
    assert "not a list of numbers" in refused("compare", data, "--recipes", "scratch", "--fractions", "a,b")
    assert "above 0 and at most 1" in refused("compare", data, "--recipes", "scratch", "--fractions", "0,1")
