"""Predictions with their cost."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lungscope.bundle.bundle import load_bundle
from lungscope.config.settings import ImageSettings, NetworkSettings
from lungscope.data.dataset import DataSource, load_for
from lungscope.evaluation.cost import epochs_s, parameters, score
from lungscope.inference.predictor import Predictor
from lungscope.networks.network import build_network


def test_scores_are_the_predictors_in_the_order_of_the_split(
    model: Path, pictures: list[Path], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("LUNGSCOPE_CACHE", str(tmp_path / "cache"))
    lines = [f"{p},{('NORMAL', 'PNEUMONIA')[i % 2]},{('test', 'train')[i % 3 == 0]}" for i, p in enumerate(pictures)]
    (tmp_path / "t.csv").write_text("path,label,split\n" + "\n".join(lines))
    bundle = load_bundle(model)
    data = load_for(bundle.card, DataSource(tmp_path / "t.csv"))
    found, rows = score(bundle, data, "test"), data.rows("test")
    assert found.paths == tuple(pictures[i] for i in rows)
    wanted = Predictor(bundle).predict(np.ascontiguousarray(data.pixels[rows])).probabilities
    assert found.probabilities == pytest.approx(wanted, abs=1e-6)
    assert found.images_per_s > 0
    assert 0 < found.milliseconds < 10_000
    assert found.evaluations == 0  # a bare model


@pytest.mark.parametrize("backbone", ["cnn-4-8", "mobilenetv2_035"])
def test_parameters_are_those_that_training_changes(backbone: str, tmp_path: Path) -> None:
    network = build_network(NetworkSettings(backbone=backbone), ImageSettings(size=32), 3)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    assert parameters(tmp_path) == sum(each.numel() for each in network.parameters())
    assert torch.is_tensor(next(network.buffers()))  # which must not be counted


def test_what_a_bare_model_does_not_tell_is_none(tmp_path: Path) -> None:
    assert parameters(tmp_path) is None
    assert epochs_s(tmp_path) is None
    (tmp_path / "history.csv").write_text("epoch,seconds\n1,2.5\n2,1.5\n")
    assert epochs_s(tmp_path) == 4.0
