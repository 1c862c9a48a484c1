"""Labelled pictures, and the bundles of the common fixtures beside them."""

import csv
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path], model: Path) -> Path:
    """The pictures as a CSV, labelled so that the model tells the classes apart but for some."""
    import numpy as np

    from lungscope.bundle.bundle import load_bundle
    from lungscope.data.images.radiograph import read_radiograph
    from lungscope.inference.predictor import Predictor

    pixels = np.stack([read_radiograph(path, size=64).pixels for path in pictures])
    p_abnormal = Predictor(load_bundle(model)).predict(pixels).probabilities[:, 1]
    positive = p_abnormal > np.median(p_abnormal)
    positive[::7] ^= True
    path = tmp_path_factory.mktemp("table") / "labels.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        rows.writerows((picture, "PNEUMONIA" if y else "NORMAL") for picture, y in zip(pictures, positive, strict=True))
    return path
