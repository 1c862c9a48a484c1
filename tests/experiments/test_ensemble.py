"""One graph of several models: parity with the average of its members, and an ordinary bundle."""

import json
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from lungscope.bundle.bundle import bundle_bytes, load_bundle
from lungscope.bundle.card import Calibration, Card
from lungscope.cli.app import main
from lungscope.config.settings import ImageSettings, NetworkSettings
from lungscope.data.manifest import read_manifest, write_csv
from lungscope.errors import ConfigError, OutputError
from lungscope.experiments.ensemble import build_ensemble
from lungscope.inference.predictor import Predictor
from lungscope.networks.network import build_network
from lungscope.networks.onnx_ensemble import average_heatmaps
from lungscope.networks.onnx_graph import build_graph, export_backbone

NETWORKS = {"a": ("cnn-4-8", 1.0), "b": ("cnn-4-8-8", 1.7), "c": ("cnn-6", 0.4)}
"""Other widths and other grids: 8, 4 and 16 pixels at 32."""


def write_run(folder: Path, table: Path, *, backbone: str, scale: float, size: int = 32, seed: int = 0) -> None:
    torch.manual_seed(seed)
    network = build_network(NetworkSettings(backbone=backbone), ImageSettings(size=size), 2).eval()
    with torch.no_grad():
        network.head.output.weight.mul_(20)
    calibration = Calibration("temperature", scale, (0.0, 0.2))
    manifest = read_manifest(table)
    card = Card(
        classes=manifest.classes, size=size, operating_points=(), calibration=calibration,
        recipe='name = "x"\n[operating_points]\nyouden = "youden"\n', recipe_name=backbone, versions={},
        data={"fingerprint": manifest.fingerprint()},
    )  # fmt: skip
    folder.mkdir(parents=True)
    graph = build_graph(network, export_backbone(network, size), calibration)
    (folder / "model.onnx").write_bytes(bundle_bytes(graph, card))
    (folder / "recipe.toml").write_text(card.recipe)
    write_csv(manifest, folder / "manifest.csv")


@pytest.fixture(scope="module")
def runs(table: Path, tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("members")
    for i, (name, (backbone, scale)) in enumerate(NETWORKS.items()):
        write_run(root / name, table, backbone=backbone, scale=scale, seed=i)
    return [root / name for name in NETWORKS]


@pytest.fixture(scope="module")
def ensemble(runs: list[Path], tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("ensemble") / "run"
    build_ensemble(runs, out)
    return out


def test_it_is_the_average_of_its_members(ensemble: Path, runs: list[Path]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 32, 32), dtype=np.uint8)
    bundles = [load_bundle(run) for run in runs]
    members = [Predictor(each, precision="fp32").predict(pixels, embeddings=True) for each in bundles]
    whole = load_bundle(ensemble)
    found = Predictor(whole, precision="fp32").predict(pixels, embeddings=True)
    shift = np.array([0.0, 0.2])
    logits = np.mean(
        [scale * each.logits + shift for each, (_, scale) in zip(members, NETWORKS.values(), strict=True)], axis=0
    )
    assert found.logits == pytest.approx(logits, abs=1e-4)
    wanted = softmax(whole.card.calibration.scale * logits, axis=1)
    assert found.probabilities == pytest.approx(wanted, abs=1e-5)
    assert found.embeddings == pytest.approx(np.concatenate([each.embeddings for each in members], axis=1))
    assert found.heatmaps.shape == (20, 2, 16, 16)
    assert found.heatmaps == pytest.approx(average_heatmaps([each.heatmaps for each in members]), abs=1e-4)


def test_maps_count_alike_however_strong(runs: list[Path]) -> None:
    one, other = np.random.default_rng(0).random((2, 3, 2, 4, 4), dtype=np.float32)
    assert average_heatmaps([one, 1000 * other]) == pytest.approx(average_heatmaps([one, other]), rel=1e-5)
    assert average_heatmaps([0 * one, 0 * other]).max() == 0
    peak = one.max(axis=(1, 2, 3), keepdims=True)
    assert average_heatmaps([one]) == pytest.approx(one / peak)


def test_it_is_a_bundle_like_any_other(ensemble: Path, table: Path, capsys, monkeypatch) -> None:
    card = load_bundle(ensemble).card
    assert [point.name for point in card.operating_points] == ["youden"]
    assert card.calibration.method == "temperature"
    assert len(tomllib.loads(card.recipe)["members"]) == 3
    assert card.parity[0].largest_difference < 1e-5
    assert json.loads((ensemble / "evaluation.json").read_text())["n"] == 20
    for arguments in (
        ["describe", ensemble],
        ["evaluate", table, "--model", ensemble],
        ["predict", table.parent, "--model", ensemble],
    ):
        monkeypatch.setattr(sys, "argv", ["lungscope", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
    assert "youden" in capsys.readouterr().out


def test_an_ensemble_can_be_a_member(ensemble: Path, runs: list[Path], tmp_path: Path) -> None:
    build_ensemble([ensemble, runs[0]], tmp_path / "out")
    assert load_bundle(tmp_path / "out").card.parity[0].largest_difference < 1e-5


def test_the_same_members_give_the_same_bytes(ensemble: Path, runs: list[Path], tmp_path: Path) -> None:
    build_ensemble(runs, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (ensemble / "model.onnx").read_bytes()


def test_members_that_do_not_fit_are_refused(runs: list[Path], table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least two"):
        build_ensemble(runs[:1], tmp_path / "out")
    write_run(tmp_path / "large", table, backbone="cnn-4", scale=1.0, size=48)
    with pytest.raises(ConfigError, match=r"input size \(32 and 48\).*image.size"):
        build_ensemble([runs[0], tmp_path / "large"], tmp_path / "out")
    manifest = read_manifest(table)
    moved = replace(manifest, splits=tuple({"test": "train"}.get(each, each) for each in manifest.splits))
    write_csv(moved, tmp_path / "moved.csv")
    write_run(tmp_path / "other", tmp_path / "moved.csv", backbone="cnn-4", scale=1.0)
    with pytest.raises(ConfigError, match="differ in data or split"):
        build_ensemble([runs[0], tmp_path / "other"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_not_overwritten(ensemble: Path, runs: list[Path]) -> None:
    before = (ensemble / "model.onnx").read_bytes()
    with pytest.raises(OutputError, match="--force"):
        build_ensemble(runs, ensemble)
    assert (ensemble / "model.onnx").read_bytes() == before
