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
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 60 noisy pictures, a little brighter in the second class; 15 patients, a third of them in each split."""
    import numpy as np
    from PIL import Image

    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    lines = ["path,label,patient,split"]
    for i in range(60):
        pixels = rng.normal(90, 30, (36, 36)) + 15 * (i % 2)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / f"{i}.png")
        lines.append(
            f"{i}.png,{('NORMAL', 'PNEUMONIA')[i % 2]},p{i // 4},{('train', 'validation', 'test')[i // 20]}"
        )
    (root / "table.csv").write_text("\n".join(lines))
    return root / "table.csv"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bundle of a small untrained network: NORMAL and PNEUMONIA, 64 px, two operating points."""
    import torch

    from lungscope.inference.bundle import Calibration, Card, seal_bundle
    from lungscope.inference.validation import SKETCH, Curve, Reference, Validation
    from lungscope.model.export import build_graph, export_backbone
    from lungscope.model.zoo import build_network
    from lungscope.settings import ImageSettings, NetworkSettings
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


@pytest.fixture(scope="session")
def gated(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Path:
    """A sealed bundle of a small network, 64 px, with a gate and prediction sets fitted on `pictures`."""
    import numpy as np
    import torch

    from lungscope.data.image import read_radiograph
    from lungscope.inference.bundle import Calibration, Card, seal_bundle
    from lungscope.inference.gate import calibrate_gate
    from lungscope.inference.runtime import choose_engine, open_session
    from lungscope.model.export import build_graph, export_backbone
    from lungscope.model.features import embedder
    from lungscope.model.gate import CHECKS, fit_gate
    from lungscope.model.labelled import LabelledImages
    from lungscope.model.zoo import build_network
    from lungscope.settings import GateSettings, ImageSettings, NetworkSettings
    from lungscope.stats.conformal import fit_conformal
    from lungscope.stats.metrics import Figure
    from lungscope.stats.operating import OperatingPoint

    torch.manual_seed(0)
    network = build_network(NetworkSettings(backbone="cnn-8-16-32"), ImageSettings(size=64), 2).eval()
    backbone = export_backbone(network, 64)
    pixels = np.stack([read_radiograph(path, size=64).pixels for path in pictures])
    images = LabelledImages(pixels, np.arange(41) % 2, np.arange(41))
    gate = fit_gate(images, embedder(network, backbone, torch.device("cpu")), GateSettings(directions=8), 0)
    graph = build_graph(network, backbone, Calibration(), gate)
    session = open_session(graph, choose_engine("onnxruntime", "fp32"), threads=1)
    probabilities, distances, checks = session.run([pixels], ["probabilities", "distance", "checks"])
    card = Card(
        classes=("NORMAL", "PNEUMONIA"),
        size=64,
        operating_points=(OperatingPoint("half", "0.5", 0.5, Figure(0.9), Figure(0.9)),),
        calibration=Calibration(),
        recipe='name = "test"\n',
        recipe_name="test",
        versions={},
        data={},
        gate=calibrate_gate(distances, checks, CHECKS, [""] * 41, 0.95),
        conformal=fit_conformal(images.labels, probabilities),
    )
    path = tmp_path_factory.mktemp("gated") / "model.onnx"
    path.write_bytes(seal_bundle(graph, card))
    return path
