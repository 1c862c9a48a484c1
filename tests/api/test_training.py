"""`train`: the same run as on the command line, with or without a folder."""

import gc
import json
from pathlib import Path

import pytest

import lungscope as ls
from lungscope.config.recipe import dump_recipe, load_recipe
from lungscope.data.phantoms.phantom import write_phantoms
from lungscope.errors import ConfigError, LeakageError, ManifestError, OutputError

SMALL = {
    "network.backbone": "cnn-4-8", "image.size": 32, "head.augmented_views": 2, "head.epochs": 2,
    "finetune.frozen_batchnorm": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), patients=60, seed=0, size=64)


@pytest.fixture(scope="module")
def data(folder: Path) -> ls.Dataset:
    return ls.load_dataset(folder)


@pytest.fixture(scope="module")
def trained(data: ls.Dataset, tmp_path_factory: pytest.TempPathFactory) -> ls.Run:
    return ls.train(data, "default", out=tmp_path_factory.mktemp("runs") / "a", settings=SMALL, weights="none")


def test_the_run_is_that_of_the_command_line(trained: ls.Run, folder: Path, tmp_path: Path, run) -> None:
    words = [word for name, value in SMALL.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    assert run("train", folder, "--out", tmp_path / "b", "--weights", "none", *words) == 0
    documents = [json.loads((path / "evaluation.json").read_text()) for path in (trained.folder, tmp_path / "b")]
    assert documents[0]["auroc"] == documents[1]["auroc"]
    assert documents[0]["operating_points"] == documents[1]["operating_points"]
    assert documents[0]["auroc"]["value"] == pytest.approx(trained.evaluation.auroc.value, abs=1e-4)


def test_it_trained_on_the_splits_of_the_data(trained: ls.Run, data: ls.Dataset) -> None:
    again = ls.load_dataset(trained.folder / "manifest.csv", split="predefined")
    assert {row.path: row.split for row in again.rows} == {row.path: row.split for row in data.rows}
    assert trained.evaluation.n == data.splits.count("test")


def test_the_run_has_model_report_and_history(trained: ls.Run, data: ls.Dataset) -> None:
    assert trained.report.exists()
    assert len(trained.history) == 2
    assert trained.model.classes == data.classes
    assert str(trained.evaluation.auroc) in repr(trained)
    assert str(trained.evaluation.auroc) in trained._repr_html_()


def test_without_a_folder_it_is_gone_with_the_run(data: ls.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    found = ls.train(data, settings=SMALL, weights="none")
    folder, model = found.folder, found.model
    assert (folder / "model.onnx").exists()
    del found
    gc.collect()
    assert not folder.exists()
    assert model.predict(data.rows[0].path).probabilities
    assert capsys.readouterr() == ("", "")


def test_a_recipe_of_ones_own_is_a_file(data: ls.Dataset, tmp_path: Path) -> None:
    recipe = load_recipe("default", [f"{name}={json.dumps(value)}" for name, value in SMALL.items()])
    (tmp_path / "own.toml").write_text(dump_recipe(recipe))
    found = ls.train(data, tmp_path / "own.toml", settings={"head.epochs": 1}, weights="none", out=tmp_path / "a")
    assert len(found.history) == 1


def test_a_folder_of_images_will_do(folder: Path) -> None:
    assert ls.train(str(folder), settings=SMALL, weights="none").evaluation.n > 0


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        (None, {"settings": {"head.epoch": 3}}, ConfigError, "head.epochs"),
        (None, {"recipe": "defualt"}, ConfigError, "default"),
        ("gone", {"settings": SMALL, "weights": "none"}, ManifestError, "no such folder"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line(data: ls.Dataset, source, options, error, words) -> None:
    with pytest.raises(error, match=words):
        ls.train(source or data, **options)


def test_a_folder_with_something_in_it_is_kept(data: ls.Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(OutputError, match="not empty"):
        ls.train(data, out=tmp_path, settings=SMALL, weights="none")
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_leakage_stops_it_and_names_the_data(folder: Path) -> None:
    leaking = ls.load_dataset(folder, split="random")
    with pytest.raises(LeakageError, match=folder.name):
        ls.train(leaking, settings=SMALL, weights="none")
