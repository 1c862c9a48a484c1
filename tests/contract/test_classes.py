"""Any number of classes through every entry point, and data that leave figures undefined."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from lungscope.bundle.bundle import bundle_bytes, load_bundle

TINY = [
    "--recipe", "scratch", "--weights", "none", "--set", "network.backbone=cnn-4-8", "--set", "image.size=32",
    "--set", "finetune.epochs=2", "--set", "finetune.batch=16", "--set", "input_check.enabled=false",
]  # fmt: skip
SUBTYPE = ["--set", "data.label_pattern=_(bacteria|virus)_"]


def draw(path: Path, kind: int, rng: np.random.Generator) -> None:
    pixels = rng.normal(90, 25, (40, 40))
    pixels[8 * kind : 8 * kind + 10, 12:30] += 70 * (kind > 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def three(run, tmp_path_factory) -> tuple[Path, Path]:
    """NORMAL and PNEUMONIA folders whose names tell bacteria from virus, and a run with three classes."""
    root, rng = tmp_path_factory.mktemp("three"), np.random.default_rng(0)
    for i in range(90):
        kind = i % 3
        name = f"NORMAL/IM-{i:04}-0001.png" if not kind else f"PNEUMONIA/person{i}_{' bv'[kind]}"
        name = name.replace("_b", "_bacteria_1.png").replace("_v", "_virus_1.png")
        draw(root / "images" / name, kind, rng)
    assert run("train", root / "images", "--out", root / "run", *TINY, *SUBTYPE) == 0
    return root / "images", root / "run"


def evaluation(out: Path) -> dict:
    return json.loads((out / "evaluation.json").read_text())


def test_three_classes_from_the_names_are_measured_whole(three: tuple[Path, Path]) -> None:
    document = evaluation(three[1])
    assert document["classes"] == ["NORMAL", "bacteria", "virus"]
    assert np.shape(document["confusion_matrix"]) == (3, 3)
    areas = [document["per_class"][name]["auroc"]["value"] for name in document["classes"]]
    assert document["auroc"]["value"] == pytest.approx(np.mean(areas), abs=1e-6)
    for name in document["classes"]:
        assert set(document["per_class"][name]) == {"support", "auroc", "precision", "recall", "f1"}
    assert np.shape(document["operating_points"]["youden"]["confusion_matrix"]) == (3, 3)
    assert "Telling NORMAL, bacteria and virus apart" in (three[1] / "report.html").read_text()


def test_the_folders_are_read_with_the_models_own_classes(run, three, tmp_path, capsys) -> None:
    images, model = three
    assert run("evaluate", images, "--model", model, "--out", tmp_path) == 0
    assert evaluation(tmp_path)["support"] == {"NORMAL": 30, "bacteria": 30, "virus": 30}
    shown = capsys.readouterr().out
    table = [line.split() for line in shown.splitlines()]
    assert ["class", "images", "AUROC", "precision", "recall", "F1"] in table
    assert {"NORMAL", "bacteria", "virus"} <= {row[0] for row in table if row[1:2] == ["30"]}
    assert "…" not in shown


def test_operating_points_are_on_the_probability_of_any_disease(run, three, tmp_path) -> None:
    images, model = three
    out, heat = tmp_path / "rows.csv", tmp_path / "heat"
    assert run("predict", images, "--model", model, "--out", out, "--heatmaps", heat) == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    threshold = load_bundle(model).card.operating_points[0].threshold
    for row in rows:
        p = {name: float(row[f"p_{name}"]) for name in ("NORMAL", "bacteria", "virus")}
        assert float(row["p_abnormal"]) == pytest.approx(1 - p["NORMAL"], abs=2e-6)
        if abs(float(row["p_abnormal"]) - threshold) > 1e-5:
            likeliest = max(("bacteria", "virus"), key=p.__getitem__)
            assert row["finding"] == (likeliest if float(row["p_abnormal"]) >= threshold else "NORMAL")
    assert len(list(heat.rglob("*.png"))) == 90
    assert run("describe", model) == 0


@pytest.mark.slow
def test_four_classes_without_a_reference_have_no_operating_point(run, tmp_path, capsys) -> None:
    rng = np.random.default_rng(0)
    for i in range(96):
        draw(tmp_path / "images" / "abcd"[i % 4] / f"{i}.png", i % 4, rng)
    model = tmp_path / "run"
    assert run("train", tmp_path / "images", "--out", model, *TINY) == 0
    document = evaluation(model)
    assert document["operating_points"] == {}
    assert np.shape(document["confusion_matrix"]) == (4, 4)
    assert document["p_abnormal_auroc"]["reason"] == "no class is the reference"
    assert document["auroc"]["value"] is not None
    capsys.readouterr()
    assert run("predict", tmp_path / "images", "--model", model, "--heatmaps", tmp_path / "heat") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert {line.split()[0] for line in lines} <= set("abcd")
    assert all(0.25 <= float(line.split()[1]) <= 1 for line in lines)
    assert run("evaluate", model / "manifest.csv", "--model", model, "--out", tmp_path / "out") == 0
    assert run("describe", model) == 0
    assert run("compare", model, model, model / "manifest.csv", "--out", tmp_path / "board") == 0
    assert "no class is the reference" in (tmp_path / "board" / "leaderboard.html").read_text()


def test_one_class_in_the_test_data_leaves_figures_undefined_with_the_reason(run, three, tmp_path, capsys) -> None:
    images, model = three
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "NORMAL").symlink_to(images / "NORMAL")
    assert run("evaluate", tmp_path / "data", "--model", model, "--out", tmp_path / "out") == 0
    document = evaluation(tmp_path / "out")
    assert document["auroc"]["value"] is None
    assert "NORMAL" in document["auroc"]["reason"]
    assert document["per_class"]["virus"]["recall"] == {
        "value": None, "ci95": None, "reason": document["per_class"]["virus"]["recall"]["reason"],
    }  # fmt: skip
    assert "undefined (" in capsys.readouterr().out
    assert document["per_class"]["virus"]["recall"]["reason"] in (tmp_path / "out" / "report.html").read_text()


def test_constant_scores_have_no_auroc(run, three, tmp_path) -> None:
    images, model = three
    bundle = load_bundle(model)
    graph = onnx.load_from_string(bundle.graph)
    graph.ClearField("metadata_props")
    for tensor in graph.graph.initializer:
        if "output" in tensor.name:  # the last layer
            tensor.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(tensor), tensor.name))
    card = replace(bundle.card, recipe_name="flat")
    (tmp_path / "flat.onnx").write_bytes(bundle_bytes(graph.SerializeToString(), card))
    assert run("evaluate", images, "--model", tmp_path / "flat.onnx", "--out", tmp_path / "out") == 0
    document = evaluation(tmp_path / "out")
    assert document["auroc"] == {"value": None, "ci95": None, "reason": "every case has the same score"}


def test_labels_that_are_none_are_refused(run, three, tmp_path, capsys) -> None:
    images, model = three
    paths = sorted(images.rglob("*.png"))[:3]
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"{path},NaN\n" for path in paths))
    assert run("evaluate", tmp_path / "t.csv", "--model", model) == 2
    assert "line 2: the label is empty" in capsys.readouterr().err


def test_five_patients_give_figures_without_intervals(run, three, tmp_path) -> None:
    images, model = three
    paths = [*sorted((images / "NORMAL").iterdir())[:10], *sorted((images / "PNEUMONIA").iterdir())[:10]]
    lines = [f"{path},{path.parent.name},p{i % 5}\n" for i, path in enumerate(paths)]
    (tmp_path / "t.csv").write_text("path,label,patient\n" + "".join(lines))
    assert run("evaluate", tmp_path / "t.csv", "--model", model, "--out", tmp_path / "out") == 0
    document = evaluation(tmp_path / "out")
    assert document["data"]["patients"] == 5
    assert document["balanced_accuracy"]["ci95"] is None
    assert "fewer than 10 patients" in document["balanced_accuracy"]["reason"]


def test_too_few_patients_for_a_split_are_refused_with_the_remedy(run, three, tmp_path, capsys) -> None:
    paths = [path for name in ("NORMAL", "PNEUMONIA") for path in sorted((three[0] / name).iterdir())[:4]]
    lines = [f"{path},{path.parent.name},p{i // 2}\n" for i, path in enumerate(paths)]
    (tmp_path / "t.csv").write_text("path,label,patient\n" + "".join(lines))
    assert run("train", tmp_path / "t.csv", "--out", tmp_path / "run", *TINY) == 2
    assert "has 2 patients, and 3 splits need 3. Add patients" in capsys.readouterr().err


def test_robustness_reads_labels_as_the_model_was_trained(run, three, capsys) -> None:
    """The model's label pattern was dropped for DATA and for external data, so three classes were refused."""
    images, folder = three
    assert run("robustness", folder, images, "--external", images, "--split", "all", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["external"]["strata"][0]["n"] == 90
