"""All checks together: what applies, what is said when it does not, and a model that looks at a marker is found out."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.data.lesions import Region, mask
from lungscope.data.manifest import Manifest
from lungscope.data.phantoms.phantom import Disease, Phantom, draw_phantom
from lungscope.errors import BundleError
from lungscope.evaluation.heatmaps.checks import HeatChecks, check_heat
from lungscope.evaluation.heatmaps.deletion import HeatCurves
from lungscope.evaluation.heatmaps.pointing import Pointing
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.evaluation.skipped import Skipped
from lungscope.inference.predictions import Predictions
from lungscope.inference.predictor import Predictor
from lungscope.reports.evaluation_json import heatmaps_json
from lungscope.reports.sections.heatmap_warnings import heat_warnings
from lungscope.reports.sections.heatmaps import heatmap_section

SIZE, TRAINING, HELD_OUT = 48, 80, 40
CLASSES = ("NORMAL", "PNEUMONIA")
Scene = Callable[[Phantom, bool], NDArray[np.uint8]]


def manifest(labels: NDArray[np.int64], extra: dict[str, tuple[str, ...]] | None = None) -> Manifest:
    n = len(labels)
    paths = tuple(Path(f"/nowhere/{i}.png") for i in range(n))
    return Manifest(paths, labels, tuple(f"p{i}" for i in range(n)), ("",) * n, CLASSES, extra or {})


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor(load_bundle(model))


@pytest.fixture(scope="module")
def noise() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    slopes = np.linspace(0, 1, 64)[None, None] * rng.integers(0, 160, (24, 1, 1))
    return (rng.normal(50, 20, (24, 64, 64)) + slopes).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def checks(predictor: Predictor, noise: NDArray[np.uint8]) -> HeatChecks:
    return check_heat(manifest(np.arange(24) % 2), noise, predictor.predict(noise), predictor)


def test_without_marks_the_pointing_game_is_skipped_and_the_reason_said(checks: HeatChecks) -> None:
    assert isinstance(checks.pointing, Skipped)
    assert "lesions.csv" in checks.pointing.reason
    assert "The pointing game does not apply" in heatmap_section(checks).lead


def test_the_checks_are_the_same_every_time(checks: HeatChecks, predictor: Predictor, noise: NDArray[np.uint8]) -> None:
    again = check_heat(manifest(np.arange(24) % 2), noise, predictor.predict(noise), predictor)
    assert heatmaps_json(again) == heatmaps_json(checks)


def test_the_json_has_every_figure_and_no_nan(checks: HeatChecks) -> None:
    found = json.loads(json.dumps(heatmaps_json(checks), allow_nan=False))
    assert found["grid"] == [2, 2]
    assert set(found["regions"]) <= set(CLASSES)
    assert found["pointing"] == {"reason": checks.pointing.reason}  # type: ignore[union-attr]
    assert len(found["randomisation"]["stages"]) == 3


def test_a_model_that_calls_all_the_same_has_no_stand_in(predictor: Predictor, noise: NDArray[np.uint8]) -> None:
    found = predictor.predict(noise)
    sick = np.tile(np.array([0.1, 0.9], np.float32), (24, 1))
    chosen = manifest(np.ones(24, np.int64))
    checks = check_heat(chosen, noise, replace(found, probabilities=sick), predictor)
    assert isinstance(checks.curves, Skipped)
    assert "stand in" in checks.curves.reason
    healthy = check_heat(chosen, noise, replace(found, probabilities=sick[:, ::-1]), predictor)
    assert isinstance(healthy.randomisation, Skipped)
    assert "no image diseased" in healthy.randomisation.reason
    assert heatmap_section(healthy).title == "Heat maps"


def test_predictions_without_maps_are_refused(predictor: Predictor, noise: NDArray[np.uint8]) -> None:
    bare = predictor.predict(noise, heatmaps=False)
    with pytest.raises(BundleError, match="Predict with heat maps"):
        check_heat(manifest(np.arange(24) % 2), noise, bare, predictor)


def _marker(phantom: Phantom, diseased: bool) -> NDArray[np.uint8]:
    """The disease cannot be seen, but its pictures carry an L in the upper left corner."""
    picture = _small(phantom)
    if diseased:
        picture[3:9, 4:6] = picture[7:9, 4:9] = 255
    return picture


def _lesion(phantom: Phantom, diseased: bool) -> NDArray[np.uint8]:
    """The disease is dense and sharply bounded, and nothing else tells the classes apart."""
    regions = tuple(Region(each.x, each.y, each.radius_x, each.radius_y) for each in phantom.lesions)
    dense = np.minimum(_small(phantom).astype(int) + 70, 255)
    return np.where(mask(regions, SIZE), dense, _small(phantom)).astype(np.uint8)


def _small(phantom: Phantom) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(phantom.pixels).resize((SIZE, SIZE)))


def trained(scene: Scene, visibility: float, path: Path) -> tuple[HeatChecks, float]:
    """Draw phantoms, train a tiny network on some and check its maps on the others; with its accuracy there."""
    rng, labels = np.random.default_rng(0), np.arange(TRAINING + HELD_OUT) % 2
    disease = Disease(visibility=visibility)
    phantoms = [draw_phantom(rng, abnormal=bool(label), size=96, disease=disease) for label in labels]
    pixels = np.stack([scene(each, bool(label)) for each, label in zip(phantoms, labels, strict=True)])
    predictor = Predictor(_fitted(pixels[:TRAINING], labels[:TRAINING], path))
    held_out, truth = pixels[TRAINING:], labels[TRAINING:]
    found: Predictions = predictor.predict(held_out)
    checks = check_heat(manifest(truth), held_out, found, predictor)
    return checks, float((found.probabilities.argmax(axis=1) == truth).mean())


def _fitted(pixels: NDArray[np.uint8], labels: NDArray[np.int64], path: Path) -> Bundle:
    import torch
    from torch.nn import functional

    from lungscope.bundle.bundle import bundle_bytes
    from lungscope.bundle.card import Calibration, Card
    from lungscope.config.settings import ImageSettings, NetworkSettings
    from lungscope.networks.network import build_network
    from lungscope.networks.onnx_graph import build_graph, export_backbone

    torch.manual_seed(0)
    settings = NetworkSettings(backbone="cnn-8-16", pooled_dropout=0.0)
    network = build_network(settings, ImageSettings(size=SIZE, scaling="per-image"), 2).train()
    optimizer, rng = torch.optim.Adam(network.parameters(), 3e-3), np.random.default_rng(0)
    for _ in range(200):
        rows = rng.choice(len(pixels), 16)
        loss = functional.cross_entropy(network(torch.from_numpy(pixels[rows])), torch.from_numpy(labels[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    calibration = Calibration("none", 1.0, (0.0, 0.0))
    card = Card(CLASSES, SIZE, (), calibration, 'name = "tiny"\n', "tiny", {}, {})
    path.write_bytes(bundle_bytes(build_graph(network, export_backbone(network, SIZE), calibration), card))
    return load_bundle(path)


@pytest.mark.slow
def test_a_model_that_looks_at_a_corner_marker_is_found_out(tmp_path: Path) -> None:
    checks, accuracy = trained(_marker, 0.05, tmp_path / "model.onnx")
    assert accuracy > 0.9
    told = " ".join(heat_warnings(checks))
    assert "Of the heat for PNEUMONIA" in told
    assert "in the upper left corner (4% of the picture)" in told
    assert "without letters, wires and other thin bright marks" in told
    assert heatmap_section(checks).warnings == heat_warnings(checks)


@pytest.mark.slow
def test_a_model_that_looks_at_the_lesion_is_not_warned_about(tmp_path: Path) -> None:
    checks, accuracy = trained(_lesion, 1.0, tmp_path / "model.onnx")
    assert accuracy > 0.9
    assert heat_warnings(checks) == ()
    assert isinstance(checks.curves, HeatCurves)
    assert checks.curves.over_random.low is not None
    assert checks.curves.over_random.low > 0


def test_marked_images_are_pointed_at(predictor: Predictor, noise: NDArray[np.uint8], tmp_path: Path) -> None:
    names = []
    for i, pixels in enumerate(noise):
        names.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels).save(names[-1])
    columns = {name: ("16",) * 24 for name in ("x", "y")} | {name: ("32",) * 24 for name in ("width", "height")}
    chosen = replace(manifest(np.arange(24) % 2, columns), paths=tuple(names))
    checks = check_heat(chosen, noise, predictor.predict(noise), predictor)
    assert isinstance(checks.pointing, Pointing)
    assert checks.pointing.images == 12
    assert checks.pointing.area.value == pytest.approx(0.25, abs=0.01)
    captions = [each.caption for each in heatmap_section(checks).pictures]
    assert any("what was marked" in each for each in captions)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_checks_can_be_left_out(
    wanted: bool, model: Path, pictures: list[Path], tmp_path: Path, monkeypatch
) -> None:
    from lungscope.data.dataset import DataSource, load_for
    from lungscope.experiments.evaluate_run import evaluate_bundle

    monkeypatch.setenv("LUNGSCOPE_CACHE", str(tmp_path / "cache"))
    lines = [f"{path},{CLASSES[i % 2]}" for i, path in enumerate(pictures)]
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join(lines))
    bundle = load_bundle(model)
    data = load_for(bundle.card, DataSource(tmp_path / "t.csv"))
    evaluate_bundle(bundle, data, tmp_path / "out", EvaluationOptions(heat_checks=wanted))
    assert ("heatmaps" in json.loads((tmp_path / "out" / "evaluation.json").read_text())) == wanted
    assert ('id="heat-maps"' in (tmp_path / "out" / "report.html").read_text()) == wanted
    assert ("heatmaps.grid.0" in (tmp_path / "out" / "estimates.csv").read_text()) == wanted
