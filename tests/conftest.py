"""Fixtures every suite may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real radiographs and weights beside the repository."""
    folder = Path(os.environ.get("LUNGSCOPE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no real radiographs here; LUNGSCOPE_SHARED names their folder")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bundle of a small untrained network: NORMAL and PNEUMONIA, 64 px, two operating points."""
    import torch

    from lungscope.config import ImageSettings, NetworkSettings
    from lungscope.inference.bundle import Calibration, Card, seal_bundle
    from lungscope.inference.validation import SKETCH, Curve, Reference, Validation
    from lungscope.model.export import build_graph, export_backbone
    from lungscope.model.zoo import build_network
    from lungscope.stats.metrics import Figure
    from lungscope.stats.operating import OperatingPoint

    torch.manual_seed(0)
    network = build_network(NetworkSettings(backbone="mobilenetv2_050"), ImageSettings(size=64), 2).eval()
    with torch.no_grad():
        network.head.output.weight.mul_(40)  # spreads the probabilities of noise images
    calibration = Calibration("temperature", 0.8, (0.0, 0.0))
    figure = Figure(0.9, 0.8, 0.95)
    card = Card(
        classes=("NORMAL", "PNEUMONIA"),
        size=64,
        operating_points=tuple(
            OperatingPoint(name, str(threshold), threshold, figure, figure)
            for name, threshold in (("half", 0.5), ("strict", 0.999))
        ),
        calibration=calibration,
        recipe='name = "test"\n',
        recipe_name="test",
        versions={},
        data={},
        validation=Validation(
            Curve(
                (0.0, 0.25, 0.5, 0.75, 1.01), (1.0, 0.95, 0.9, 0.6, 0.0), (0.0, 0.5, 0.8, 0.9, 1.0), 60, 140
            ),
            Reference(200, 0.4, (0.1,) * 10, (0.0,) * SKETCH, (1.0,) * SKETCH),
        ),
    )
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(seal_bundle(build_graph(network, export_backbone(network, 64), calibration), card))
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Forty-one small JPEG pictures of noise over a gradient, each another one."""
    import numpy as np
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = [folder / f"picture{i:02}.jpeg" for i in range(41)]
    for path in paths:
        slope = np.linspace(0, rng.integers(50, 200), 90)[None, :]
        pixels = rng.normal(60, 25, (70, 90)) + slope
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths
