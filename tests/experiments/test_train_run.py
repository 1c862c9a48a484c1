"""Training as one of several processes: only the first exports, writes and says anything."""

from pathlib import Path

import pytest

from lungscope.config.recipe import Recipe, load_recipe
from lungscope.errors import ConfigError
from lungscope.experiments.train_run import TrainOptions, train_and_evaluate, train_run
from lungscope.experiments.training_run import TrainingRun, run_training


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A short one, in the second process that torchrun would start."""
    monkeypatch.setenv("RANK", "1")
    overrides = ["network.backbone=cnn-4", "image.size=32", "head.epochs=0", "finetune.epochs=1", "finetune.batch=8"]
    return load_recipe("scratch", [*overrides, "data.split=predefined"])


def test_another_process_than_the_first_gives_nothing_and_writes_nothing(
    recipe: Recipe, table: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for train in (train_run, train_and_evaluate):
        assert train(table, recipe, tmp_path / "run", TrainOptions("none", "cpu")) is None
    assert [*tmp_path.rglob("*.*")] == []
    assert capfd.readouterr().out == ""


def test_a_comparison_by_several_processes_is_refused(recipe: Recipe, table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without torchrun"):
        run_training(TrainingRun(recipe, table, tmp_path / "run", "none", "cpu"))
