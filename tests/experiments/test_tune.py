"""Searching settings: validation only, median pruning, and no trial lost by a kill."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from PIL import Image

from lungscope.config.recipe import load_recipe
from lungscope.data.dataset import prepare
from lungscope.errors import ConfigError, TrainingDiverged
from lungscope.experiments import tune as tuning
from lungscope.experiments.tune import SearchPlan, run_study

SETTINGS = ("network.backbone=cnn-4-8", "image.size=32", "finetune.epochs=1", "finetune.batch=16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root, rng = tmp_path_factory.mktemp("data") / "images", np.random.default_rng(0)
    for patient in range(36):
        label = ("NORMAL", "PNEUMONIA")[patient % 2]
        path = root / label / f"person{patient}_bacteria_0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.normal(90, 30, (40, 40)) + 20 * (patient % 2)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return root


@pytest.fixture
def merits(monkeypatch) -> list[float]:
    """AUROCs that take the place of training, in the order they are asked for; then 0.5 for ever."""
    values: list[float] = []
    monkeypatch.setattr(tuning, "_validation_auroc", lambda *_: values.pop(0) if values else 0.5)
    return values


def study(folder: Path, out: Path, **options):
    defaults = {"overrides": SETTINGS, "trials": 3, "folds": 2, "weights": "none"}
    return run_study(folder, "scratch", out, SearchPlan(**{**defaults, **options}))


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_best_settings_become_a_recipe(folder, tmp_path, merits) -> None:
    merits += [0.6, 0.6, 0.9, 0.8, 0.7, 0.7]
    found = study(folder, tmp_path)
    assert [trial.auroc for trial in found.best] == pytest.approx([0.85, 0.7, 0.6])
    recipe = load_recipe(found.recipe, ["seed=3"])
    assert (recipe.name, recipe.network.backbone) == ("scratch-tuned", "cnn-4-8")
    assert f"{recipe.finetune.learning_rate:.6g}" == found.best[0].settings["finetune.learning_rate"]
    assert [row["state"] for row in rows(tmp_path)] == ["complete"] * 3


def test_a_study_goes_on_and_draws_other_settings(folder, tmp_path, merits) -> None:
    study(folder, tmp_path, trials=2)
    assert study(folder, tmp_path, trials=2).finished == 2
    assert study(folder, tmp_path, trials=4).finished == 4
    assert len({row["finetune.learning_rate"] for row in rows(tmp_path)}) == 4


def test_a_trial_below_the_median_is_stopped_after_its_first_fold(folder, tmp_path, merits) -> None:
    merits += [0.9, 0.9] * 3 + [0.2] + [0.95, 0.95]
    found = study(folder, tmp_path, trials=5)
    assert (found.finished, found.pruned) == (5, 1)
    stopped = rows(tmp_path)[3]
    assert (stopped["state"], stopped["folds"], float(stopped["auroc"])) == ("pruned", "1", 0.2)
    assert not merits


def test_a_trial_that_diverges_is_finished_and_the_search_goes_on(folder, tmp_path, monkeypatch) -> None:
    calls = []

    def diverge_first(*_):
        calls.append(1)
        if len(calls) == 1:
            raise TrainingDiverged("The loss is no number.")
        return 0.7

    monkeypatch.setattr(tuning, "_validation_auroc", diverge_first)
    found = study(folder, tmp_path, trials=2)
    assert (found.finished, found.pruned, len(found.best)) == (2, 1, 1)


def test_test_images_are_in_no_fold(folder, tmp_path, monkeypatch) -> None:
    seen: set[int] = set()

    def note(recipe, job, training, validation):
        assert not set(training) & set(validation)
        seen.update(training, validation)
        return 0.5

    monkeypatch.setattr(tuning, "_validation_auroc", note)
    study(folder, tmp_path, trials=1)
    recipe = load_recipe("scratch", SETTINGS)
    splits = prepare(folder, recipe.data, 32, recipe.seed).manifest.splits
    assert "test" in splits
    assert {splits[i] for i in seen} == {"train", "validation"}
    assert len(seen) == sum(split != "test" for split in splits)


def test_another_study_in_the_same_place_is_refused(folder, tmp_path, merits) -> None:
    study(folder, tmp_path, trials=1)
    with pytest.raises(ConfigError, match="begun with other folds"):
        study(folder, tmp_path, folds=3)
    with pytest.raises(ConfigError, match="begun with other recipe"):
        study(folder, tmp_path, overrides=(*SETTINGS, "finetune.patience=5"))


def test_two_processes_do_not_tune_in_one_folder_but_share_a_storage(folder, tmp_path, merits) -> None:
    with tuning._only_worker(tmp_path / "study.lock", shared=False):
        with pytest.raises(ConfigError, match="--storage URL"):
            study(folder, tmp_path)
        url = f"sqlite:///{tmp_path / 'shared.db'}"
        assert study(folder, tmp_path, storage=url, trials=1).finished == 1
    assert study(folder, tmp_path / "other", storage=url, trials=2).finished == 2


@pytest.mark.parametrize("options", [{"trials": 0}, {"folds": 0}])
def test_a_study_of_nothing_is_refused(folder, tmp_path, options) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        study(folder, tmp_path, **options)


def test_without_optuna_the_remedy_is_named(refused, folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "lungscope.experiments.tune")
    assert "needs optuna. Run: pip install 'lungscope[tune]'" in refused("tune", folder)


@pytest.mark.slow
def test_a_killed_search_loses_no_trial(folder: Path, tmp_path: Path) -> None:
    settings = [word for each in SETTINGS for word in ("--set", each)]
    command = [
        sys.executable, "-m", "lungscope", "tune", folder, "--recipe", "scratch", "--weights", "none", "--folds", 1,
        "--trials", 50, "--out", tmp_path / "out", *settings,
    ]  # fmt: skip
    process = subprocess.Popen(
        [*map(str, command)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=dict(os.environ)
    )
    deadline = time.monotonic() + 200
    while not (tmp_path / "out" / "trials.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)  # into the next trial
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = rows(tmp_path / "out")
    assert before
    found = study(folder, tmp_path / "out", folds=1, trials=len(before) + 1)
    after = rows(tmp_path / "out")
    url = f"sqlite:///{tmp_path / 'out' / 'study.db'}"
    trials = optuna.load_study(study_name=None, storage=url).trials
    interrupted = [trial.params for trial in trials if trial.state.name == "FAIL"]
    assert interrupted == [trials[-1].params]
    assert after[: len(before)] == before
    assert found.finished == len(before) + 1 == len(after)
