"""Images of both classes that look like the other class: they are found, and each stratum is held out in turn."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from lungscope.config.recipe import load_recipe
from lungscope.data.manifest import read_manifest
from lungscope.errors import ConfigError, DataError
from lungscope.experiments.style_strata import style_strata

SETTINGS = ("network.backbone=cnn-4-8", "image.size=32")
# Mean grey of four ways of making pictures; one in each class is near the other class's.
GREYS = {"NORMAL": (40, 55, 70, 150), "PNEUMONIA": (200, 185, 170, 90)}


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """160 patients of two classes and eight ways of making pictures; every patient has two images of one way."""
    folder, rng = tmp_path_factory.mktemp("style") / "data", np.random.default_rng(0)
    for label, greys in GREYS.items():
        (folder / label).mkdir(parents=True)
        for patient in range(100):
            for image in range(2):
                pixels = rng.normal(greys[patient % 4], 5, (32, 32)).clip(0, 255).astype(np.uint8)
                stem = f"IM-{patient:04}-{image:04}" if label == "NORMAL" else f"person{patient}_virus_{image}"
                Image.fromarray(pixels).save(folder / label / f"{stem}.png")
    return folder


def test_the_first_stratum_holds_what_looks_like_the_other_class(images: Path) -> None:
    found = style_strata(images, 2, load_recipe("default", SETTINGS), weights="none")
    table, stratum = found.table, np.array(found.table.extra["stratum"])
    for label, greys in enumerate(GREYS.values()):
        hardest = {
            int(patient.split("-")[-1].removeprefix("person").split("_")[0]) % 4
            for patient, inside, own in zip(table.patients, stratum == "style 1", table.labels, strict=True)
            if inside and own == label
        }
        assert hardest == {3}, greys
    assert set(table.splits) == {""}
    assert len(found.clusters) == 4
    for each in found.clusters:
        assert set(stratum[each.rows]) == {each.stratum}
        assert each.patients * 2 == len(each.rows) == 50
    odds = {(each.class_name, each.stratum): each.log_odds for each in found.clusters}
    assert all(odds[name, "style 1"] < odds[name, "style 2"] for name in GREYS)


def test_a_number_of_strata_that_cannot_be_is_refused(images: Path, tmp_path: Path) -> None:
    recipe = load_recipe("default", SETTINGS)
    with pytest.raises(ConfigError, match="from 2 to 4"):
        style_strata(images, 5, recipe, weights="none")
    for label in GREYS:
        (tmp_path / label).mkdir()
        for i in range(25):
            Image.new("L", (32, 32), i).save(tmp_path / label / f"{label}{i}.png")
    with pytest.raises(DataError, match="too few images for 2 clusters"):
        style_strata(tmp_path, 2, recipe, weights="none")


def test_the_table_goes_into_a_comparison_that_holds_each_stratum_out(run, images: Path, tmp_path, capsys) -> None:
    table, out = tmp_path / "style.csv", tmp_path / "out"
    network = ("--weights", "none", *map("--set={}".format, SETTINGS))
    assert run("strata", images, "--style", 2, "--out", table, *network) == 0
    assert "lungscope compare" in capsys.readouterr().out
    options = ("--set=head.epochs=2", "--set=head.augmented_views=1")
    command = ("compare", table, "--leave-out", "stratum", "--recipes", "default", "--seeds", 2)
    assert run(*command, "--out", out, *network, *options) == 0
    shown = capsys.readouterr().out
    known = read_manifest(table)
    for i, name in enumerate(("style 1", "style 2"), start=1):
        turn = read_manifest(out / "splits" / f"{i}.csv")
        splits, stratum = np.array(turn.splits), np.array(turn.extra["stratum"])
        assert ((splits == "test") == (stratum == name)).all()
        held, seen = (
            set(turn.split("test").patients),
            {*turn.split("train").patients, *turn.split("validation").patients},
        )
        assert not held & seen
        assert len(turn) == len(known)
    with (out / "strata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["stratum"] for row in rows] == ["style 1", "style 2"]
    for i, row in enumerate(rows, start=1):
        for seed, value in enumerate(row["auroc_by_seed"].split()):
            scores = json.loads((out / "default" / f"seed-{seed}" / f"fold-{i}" / "scores.json").read_text())
            truth = ["PNEUMONIA" in path for path in scores["paths"]]
            sick = [row[1] for row in scores["probabilities"]]
            assert float(value) == pytest.approx(roc_auc_score(truth, sick), abs=1e-6)
    worst = min(float(row["auroc"]) for row in rows)
    assert f"worst AUROC {worst:.3f}" in " ".join(shown.split())
    page = (out / "leaderboard.html").read_text()
    assert "Strata held out in turn" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--leave-out", "site"), "Column 'site' names 0 strata"),
        (("--leave-out", "stratum", "--folds", "3"), "--folds 3 and --leave-out stratum are two ways of splitting"),
    ],
)
def test_what_cannot_be_held_out_is_refused(refused, images: Path, tmp_path, options, message) -> None:
    assert message in refused("compare", images, "--recipes", "default", "--out", tmp_path / "out", *options)
