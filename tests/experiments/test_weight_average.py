"""The mean of several trainings' weights as an ordinary run."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lungscope.bundle.bundle import load_bundle
from lungscope.cli.app import main
from lungscope.config.recipe import load_recipe
from lungscope.errors import BundleError, ConfigError
from lungscope.experiments.train_run import TrainOptions, train_run
from lungscope.experiments.weight_average import average_weights
from lungscope.inference.predictor import Predictor
from lungscope.networks.network import build_network

SETTINGS = (
    "network.backbone=cnn-4-8", "image.size=32", "head.epochs=2", "head.augmented_views=1", "finetune.epochs=2",
    "finetune.frozen_batchnorm=true", "finetune.batch=8", "input_check.enabled=false", "data.split=predefined",
)  # fmt: skip


def train(table: Path, out: Path, *overrides: str) -> Path:
    train_run(table, load_recipe("scratch", [*SETTINGS, *overrides]), out, TrainOptions("none", "cpu"))
    return out


@pytest.fixture(scope="module")
def runs(table: Path, tmp_path_factory, request) -> list[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUNGSCOPE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        root = tmp_path_factory.mktemp("members")
        return [train(table, root / f"seed-{seed}", f"seed={seed}") for seed in (0, 1)]


def test_its_weights_are_the_mean_and_its_graph_computes_with_them(runs, table, tmp_path) -> None:
    average_weights(runs, tmp_path / "average")
    members = [load_file(run / "weights.safetensors") for run in runs]
    found = load_file(tmp_path / "average" / "weights.safetensors")
    assert any(not torch.equal(members[0][name], members[1][name]) for name in found)
    for name, value in found.items():
        torch.testing.assert_close(value, (members[0][name] + members[1][name]) / 2, check_dtype=False)
    bundle = load_bundle(tmp_path / "average")
    recipe = load_recipe(tmp_path / "average" / "recipe.toml")
    network = build_network(recipe.network, recipe.image, 2).eval()
    network.load_state_dict(found)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    with torch.no_grad():
        wanted = network(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(Predictor(bundle).predict(pixels).logits, wanted, rtol=1e-3, atol=1e-4)
    assert bundle.card.operating_points
    assert (tmp_path / "average" / "report.html").exists()
    assert abs(bundle.path.stat().st_size - (runs[0] / "model.onnx").stat().st_size) < 5_000


def test_the_command(runs, tmp_path, monkeypatch) -> None:
    arguments = ["ensemble", *map(str, runs), "--average", "weights", "--out", str(tmp_path / "average")]
    monkeypatch.setattr(sys, "argv", ["lungscope", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert (tmp_path / "average" / "model.onnx").exists()


def test_trainings_of_other_settings_are_refused(runs, table, tmp_path) -> None:
    other = train(table, tmp_path / "other", "finetune.learning_rate=3e-4")
    with pytest.raises(ConfigError, match=r"differ in finetune.learning_rate.*--average logits"):
        average_weights([runs[0], other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_statistics_of_batches_have_no_mean(table, tmp_path) -> None:
    pair = [train(table, tmp_path / str(seed), f"seed={seed}", "finetune.frozen_batchnorm=false") for seed in (0, 1)]
    with pytest.raises(ConfigError, match=r"finetune.frozen_batchnorm=true"):
        average_weights(pair, tmp_path / "out")


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_weights_that_cannot_be_read_are_named(runs, tmp_path, damage: str) -> None:
    shutil.copytree(runs[1], tmp_path / "damaged")
    path = tmp_path / "damaged" / "weights.safetensors"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:100])
    with pytest.raises(BundleError, match=r"weights.safetensors: the weights of this run cannot be read"):
        average_weights([runs[0], tmp_path / "damaged"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
