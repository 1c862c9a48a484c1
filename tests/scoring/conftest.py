"""What the tests of scoring share: a small model that is fast, and a way to read all rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of 5 kB: NORMAL and PNEUMONIA, 32 px, two operating points."""
    return write_tiny(tmp_path_factory.mktemp("tiny") / "model.onnx", seed=0)


def write_tiny(path: Path, *, seed: int, points: tuple[float, ...] = (0.5, 0.999)) -> Path:
    """A bundle of an untrained network."""
    import torch

    from lungscope.bundle.bundle import bundle_bytes
    from lungscope.bundle.card import Calibration, Card
    from lungscope.config.settings import ImageSettings, NetworkSettings
    from lungscope.networks.network import build_network
    from lungscope.networks.onnx_graph import build_graph, export_backbone
    from lungscope.stats.estimate import Estimate
    from lungscope.stats.operating_points import OperatingPoint

    torch.manual_seed(seed)
    network = build_network(NetworkSettings(backbone="cnn-4-8"), ImageSettings(size=32), 2).eval()
    calibration, estimate = Calibration("temperature", 0.8, (0.0, 0.0)), Estimate(0.9, 0.8, 0.95)
    card = Card(
        classes=("NORMAL", "PNEUMONIA"),
        size=32,
        operating_points=tuple(
            OperatingPoint(name, str(threshold), threshold, estimate, estimate)
            for name, threshold in zip(("half", "strict"), points, strict=False)
        ),
        calibration=calibration,
        recipe='name = "test"\n',
        recipe_name="test",
        versions={},
        data={},
    )
    path.write_bytes(bundle_bytes(build_graph(network, export_backbone(network, 32), calibration), card))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty pictures of noise in three folders."""
    root, rng = tmp_path / "images", np.random.default_rng(0)
    for i in range(60):
        path = root / f"ward{i % 3}" / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).save(path)
    return root


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads every row of a folder of scores."""

    def read(out: Path) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pyarrow.parquet.read_table(out / "parts").to_pylist()
        return found

    return read
