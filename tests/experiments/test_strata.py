"""A run of patients of one class that look like the other: it is found, and no patient of it is trained on."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lungscope.cli.app import app
from lungscope.config.recipe import load_recipe
from lungscope.data.manifest import read_manifest, write_csv
from lungscope.errors import DataError
from lungscope.experiments.strata import hidden_strata

RECIPE = load_recipe("default", ("network.backbone=cnn-4", "image.size=64", "head.epochs=2"))
ODD = range(61, 79)
"""Numbers of the normals that are as bright as pneumonias."""


def write_images(folder: Path, odd: range) -> Path:
    rng = np.random.default_rng(0)
    for label, name, n in (("NORMAL", "IM-{:04}-0001.png", 150), ("PNEUMONIA", "person{}_virus_7.png", 120)):
        (folder / label).mkdir(parents=True)
        for i in range(n):
            bright = label == "PNEUMONIA" or i in odd
            pixels = rng.integers(0, 250 if bright else 170, (64, 64), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / name.format(i))
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return write_images(tmp_path_factory.mktemp("hidden") / "data", ODD)


@pytest.fixture(scope="module")
def found(images: Path):
    return hidden_strata(images, RECIPE, weights="none")


def test_the_run_is_found(found) -> None:
    (stratum,) = found.strata
    assert stratum.series == "IM"
    assert abs(stratum.first - ODD[0]) <= 2
    assert abs(stratum.last - ODD[-1]) <= 2
    assert stratum.patients == len(stratum.rows) == stratum.last - stratum.first + 1
    assert stratum.right < 0.3
    assert stratum.elsewhere > 0.9


def test_its_patients_are_held_out_and_others_too(found) -> None:
    table, (stratum,) = found.table, found.strata
    splits, column = np.array(table.splits), np.array(table.extra["stratum"])
    assert set(splits[stratum.rows]) == {"test"}
    assert set(column[stratum.rows]) == {"IM hidden"}
    assert (column != "").sum() == len(stratum.rows)
    others = splits == "test"
    others[stratum.rows] = False
    assert set(table.labels[others]) == {0, 1}
    patients = [{p for p, s in zip(table.patients, splits, strict=True) if s == split} for split in set(splits)]
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_the_table_is_read_back(found, tmp_path) -> None:
    out = tmp_path / "strata.csv"
    write_csv(found.table, out)
    assert read_manifest(out) == found.table


def test_names_without_numbers_are_refused(tmp_path) -> None:
    for label, grey in (("NORMAL", 20), ("PNEUMONIA", 200)):
        (tmp_path / label).mkdir()
        for name in ("a", "b"):
            Image.new("L", (64, 64), grey + ord(name)).save(tmp_path / label / f"{name}.png")
    with pytest.raises(DataError, match="no file name has a number"):
        hidden_strata(tmp_path, RECIPE, weights="none")


def test_the_command_prints_what_it_found(images, tmp_path) -> None:
    out = tmp_path / "strata.csv"
    settings = [f"--set={each}" for each in ("network.backbone=cnn-4", "image.size=64")]
    arguments = ["strata", str(images), "--out", str(out), "--weights", "none", *settings]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "IM 6" in shown.output
    assert "lungscope train" in shown.output
    before, again = out.read_bytes(), CliRunner().invoke(app, arguments)
    assert again.exit_code != 0
    assert "exists already" in str(again.exception)
    assert out.read_bytes() == before
    as_json = CliRunner().invoke(app, [*arguments, "--force", "--json"])
    document = json.loads(as_json.stdout[as_json.stdout.index("{") :])
    assert document["strata"][0]["series"] == "IM"
    assert sum(document["splits"].values()) == 270


def test_where_nothing_is_hidden_that_is_said(tmp_path) -> None:
    images = write_images(tmp_path / "data", range(0))
    out = tmp_path / "strata.csv"
    settings = [f"--set={each}" for each in ("network.backbone=cnn-4", "image.size=64")]
    shown = CliRunner().invoke(app, ["strata", str(images), "--out", str(out), "--weights", "none", *settings])
    assert "No run of numbers differs" in shown.output
    assert set(read_manifest(out).splits) == {"train", "validation", "test"}


def test_patients_are_those_of_the_pattern(tmp_path) -> None:
    """The recipe's patient pattern was ignored, so a patient could stand in two splits of the table."""
    images = write_images(tmp_path / "data", ODD)
    recipe = load_recipe(
        "default", ["network.backbone=cnn-4", "image.size=64", r"data.patient_pattern=(\d?\d)(?:-|_virus_)\d+\.png$"]
    )
    table = hidden_strata(images, recipe, weights="none").table
    assert len(set(table.patients)) == 110  # 270 without the pattern
    for patient in set(table.patients):
        assert len({s for p, s in zip(table.patients, table.splits, strict=True) if p == patient}) == 1
