"""Comparing recipes and models through the command line, and going on after a kill."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.stats.comparison import delong

TINY = [
    "--weights", "none", "--set", "network.backbone=cnn-4-8", "--set", "image.size=32", "--set", "head.epochs=0",
    "--set", "finetune.epochs=2", "--set", "finetune.batch=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Sixty patients of two images; a third has a bright square on the left, a third on the right."""
    root, rng = tmp_path_factory.mktemp("data") / "images", np.random.default_rng(0)
    for patient in range(60):
        kind = patient % 3
        label, stem = ("PNEUMONIA", f"person{patient}_{('', 'bacteria', 'virus')[kind]}")
        if not kind:
            label, stem = "NORMAL", f"IM-{patient:04}"
        for image in range(2):
            pixels = rng.normal(90, 25, (40, 40))
            pixels[10:22, 18 * (kind - 1) : 18 * (kind - 1) + 12] += 60 * (kind > 0)
            path = root / label / (f"{stem}_{image}.png" if kind else f"{stem}-{image:04}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def comparison(run, folder: Path, tmp_path_factory) -> Path:
    """Two recipes that train and one that fails, on one split."""
    out = tmp_path_factory.mktemp("comparison") / "out"
    (out.parent / "broken.toml").write_text('name = "broken"\n[network]\noutput = "sigmoid"\n')
    (out.parent / "quick.toml").write_text('name = "quick"\n[finetune]\nlearning_rate = 0.02\n')
    recipes = f"scratch,{out.parent}/quick.toml,{out.parent}/broken.toml"
    labels = ["--set", "data.label_pattern=_(bacteria|virus)_"]
    assert run("compare", folder, "--recipes", recipes, "--out", out, *TINY, *labels) == 3
    return out


def test_the_leaderboard_ranks_what_trained_and_gives_the_reason_of_what_failed(comparison: Path) -> None:
    with (comparison / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"scratch", "quick", "broken"}
    assert "network.output = 'sigmoid' needs 2 classes and the data have 3" in rows[-1]["error"]
    assert float(rows[0]["auroc"]) >= float(rows[1]["auroc"])
    assert all(float(row[name]) > 0 for row in rows[:2] for name in ("training_s", "images_per_s", "milliseconds"))
    weights = [4 * 9, 2 * 4, 4 * 8 * 9, 2 * 8, 8 * 3, 3]
    assert {row["parameters"] for row in rows[:2]} == {str(sum(weights))}
    page = (comparison / "leaderboard.html").read_text()
    assert "none is called better" in page
    assert "NORMAL, bacteria and virus" in page


def test_every_training_run_is_a_run_folder_on_the_same_split(comparison: Path) -> None:
    manifests = {(comparison / name / "seed-0" / "manifest.csv").read_text() for name in ("scratch", "quick")}
    assert len(manifests) == 1
    assert (comparison / "scratch" / "seed-0" / "evaluations.csv").read_text().count("test,") == 1


def test_what_is_finished_is_not_trained_again(run, comparison: Path, folder: Path, capsys) -> None:
    model = comparison / "scratch" / "seed-0" / "model.onnx"
    board, before = (comparison / "leaderboard.csv").read_bytes(), model.stat().st_mtime_ns
    labels = ["--set", "data.label_pattern=_(bacteria|virus)_"]
    quick = comparison.parent / "quick.toml"
    assert run("compare", folder, "--recipes", f"scratch,{quick}", "--out", comparison, *TINY, *labels) == 0
    assert model.stat().st_mtime_ns == before
    assert "Training" not in capsys.readouterr().err
    assert (comparison / "leaderboard.csv").read_bytes().splitlines()[:3] == board.splitlines()[:3]


def test_another_comparison_in_the_same_folder_is_refused(refused, comparison: Path, folder: Path) -> None:
    other = ["--recipes", "scratch", "--out", comparison, *TINY]
    assert "Choose another --out or pass --force" in refused("compare", folder, *other)
    labels = ["--set", "data.label_pattern=_(bacteria|virus)_", "--set", "finetune.epochs=3"]
    assert "was trained with other settings" in refused("compare", folder, *other, *labels)
    (comparison.parent / "mine").mkdir(exist_ok=True)
    (comparison.parent / "mine" / "thesis.tex").write_text("three years")
    out = ["--recipes", "scratch", "--out", comparison.parent / "mine", "--force", *TINY]
    assert "does not empty it" in refused("compare", folder, *out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipes", "scratch,scratch"], "same name"),
        (["--recipes", "scrach"], "Did you mean 'scratch'"),
        (["--recipes", "scratch", "--seeds", "0"], "--seeds 0"),
        (["--recipes", "scratch", "--folds", "3", "--set", "data.split=random"], "data.split = 'random'"),
        (["--recipes", "scratch", "--folds", "1"], "at least 2"),
        ([], "Give --recipes"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(refused, folder, tmp_path, arguments, message) -> None:
    assert message in refused("compare", folder, "--out", tmp_path / "out", *arguments)


def test_existing_models_are_compared_on_the_test_split_they_share(run, comparison: Path, tmp_path, capsys) -> None:
    runs = [comparison / name / "seed-0" for name in ("scratch", "quick")]
    for i, source in enumerate(runs):  # their folders have one name, so the whole path tells them apart
        shutil.copytree(source, tmp_path / f"run{i}")
    table = comparison / "splits" / "1.csv"
    models = [tmp_path / "run0", tmp_path / "run1"]
    assert run("compare", *models, table, "--out", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "evaluated 2 times on these images" in shown
    with (tmp_path / "out" / "leaderboard.csv").open() as file:
        found = {row["method"]: float(row["auroc"]) for row in csv.DictReader(file)}
    with (comparison / "leaderboard.csv").open() as file:
        before = {row["method"]: row["auroc"] for row in csv.DictReader(file)}
    assert found == pytest.approx({"run0": float(before["scratch"]), "run1": float(before["quick"])})


def test_models_that_saw_the_images_or_know_other_classes_are_refused(
    refused, comparison: Path, folder: Path, model: Path, tmp_path
) -> None:
    runs = [comparison / name / "seed-0" for name in ("scratch", "quick")]
    table = comparison / "splits" / "1.csv"
    assert re.search(r"was trained on \d+ of the 120 images.*--split test", refused("compare", *runs, folder))
    shutil.copytree(folder, tmp_path / "copy")
    assert "was trained on" in refused("compare", *runs, tmp_path / "copy")
    assert "same classes" in refused("compare", runs[0], model, table)
    assert "two models or more" in refused("compare", runs[0], table)
    assert "in one go" in refused("compare", *runs, table, "--recipes", "scratch")


@pytest.mark.slow
def test_a_killed_comparison_goes_on_and_every_patient_is_tested_once(run, folder: Path, tmp_path: Path) -> None:
    command = ["compare", folder, "--recipes", "scratch", "--folds", 2, "--out", tmp_path / "out", *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "lungscope", *map(str, command)],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    first, second = (tmp_path / "out" / "scratch" / "seed-0" / f"fold-{i}" for i in (1, 2))
    deadline = time.monotonic() + 200
    while not (second / "recipe.toml").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (first / "scores.json").exists()
    assert not (second / "scores.json").exists()
    before = (first / "model.onnx").stat().st_mtime_ns
    assert run(*command) == 0
    assert (first / "model.onnx").stat().st_mtime_ns == before
    scores = [json.loads((each / "scores.json").read_text()) for each in (first, second)]
    assert scores[1]["training_s"] is None
    paths = [path for each in scores for path in each["paths"]]
    assert len(paths) == len(set(paths)) == 120
    positive = np.array(["PNEUMONIA" in path for path in paths])
    p = np.array([row[1] for each in scores for row in each["probabilities"]])
    with (tmp_path / "out" / "leaderboard.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["auroc"]) == pytest.approx(delong(positive, p, p).auroc_a)
