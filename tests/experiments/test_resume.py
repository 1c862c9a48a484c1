"""A training that is killed with SIGKILL and continued, against one that was left alone."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lungscope.config.recipe import Recipe, load_recipe
from lungscope.data.phantoms.phantom import write_phantoms
from lungscope.errors import ConfigError, DataError, OutputError
from lungscope.experiments.train_run import TrainOptions, train_run

OVERRIDES = [
    "network.backbone=cnn-4-8", "image.size=32", "head.epochs=4", "head.augmented_views=2", "finetune.epochs=4",
    "imbalance=oversample",
]  # fmt: skip


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("scratch", OVERRIDES)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("resume") / "phantoms"
    write_phantoms(folder, patients=40, seed=1, size=64)
    return folder


@pytest.fixture(scope="module")
def whole(data: Path, recipe: Recipe, tmp_path_factory) -> Path:
    out: Path = tmp_path_factory.mktemp("resume") / "whole"
    train_run(data, recipe, out, TrainOptions("none", "cpu"))
    return out


def start(data: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lungscope", "train", data, "--out", out, "--recipe", "scratch"]
    settings = [word for override in OVERRIDES for word in ("--set", override)]
    return subprocess.Popen(
        [*map(str, command), "--weights", "none", "--device", "cpu", *settings],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def kill_when(process: subprocess.Popen[bytes], sign: Path) -> None:
    deadline = time.monotonic() + 120
    while not sign.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert sign.exists()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    "sign", ["recipe.toml", "tensorboard", "checkpoint/finetune.pt", "history.csv", "weights.safetensors"]
)
def test_a_run_killed_at_any_moment_continues_to_the_same_files(
    data: Path, recipe: Recipe, whole: Path, tmp_path: Path, sign: str
) -> None:
    kill_when(start(data, tmp_path / "run"), tmp_path / "run" / sign)
    assert not (tmp_path / "run" / "evaluation.json").exists()
    train_run(data, recipe, tmp_path / "run", TrainOptions("none", "cpu", resume=True))
    for name in ("weights.safetensors", "model.onnx", "recipe.toml", "manifest.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_a_finished_run_continues_to_itself(data: Path, recipe: Recipe, whole: Path) -> None:
    before = (whole / "model.onnx").read_bytes()
    train_run(data, recipe, whole, TrainOptions("none", "cpu", resume=True))
    assert (whole / "model.onnx").read_bytes() == before


def test_another_recipe_is_refused_naming_the_setting(data: Path, whole: Path) -> None:
    other = load_recipe("scratch", [*OVERRIDES, "finetune.learning_rate=0.01"])
    with pytest.raises(ConfigError, match=r"begun with finetune\.learning_rate = 0\.003, not 0\.01.*--force"):
        train_run(data, other, whole, TrainOptions("none", "cpu", resume=True))


def test_other_data_are_refused(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    other = write_phantoms(tmp_path / "others", patients=40, seed=2, size=64)
    with pytest.raises(DataError, match="begun on other images, labels or splits.*same data to --resume"):
        train_run(other, recipe, whole, TrainOptions("none", "cpu", resume=True))


def test_a_folder_that_is_no_run_is_not_continued(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear reader")
    with pytest.raises(OutputError, match="not empty"):
        train_run(data, recipe, tmp_path, TrainOptions("none", "cpu", resume=True))
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
