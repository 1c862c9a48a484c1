"""One loader: how names are read travels with where the data lie."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.config.settings import DataSettings
from lungscope.data.audit.inspection import inspect
from lungscope.data.dataset import Dataset, DataSource, load, load_for, prepare

PATIENT = r"^(p\d+)_"
LABEL = "_(bacteria|virus)_"


@dataclass(frozen=True)
class Model:
    classes: tuple[str, ...] = ("NORMAL", "bacteria", "virus")
    size: int = 32
    label_pattern: str = LABEL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve patients with two images each; names tell patient and kind."""
    rng = np.random.default_rng(0)
    for i in range(24):
        kind = ("clear", "bacteria", "virus")[i // 2 % 3]
        path = tmp_path / ("NORMAL" if kind == "clear" else "PNEUMONIA") / f"p{i // 2}_{kind}_{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(path)
    return tmp_path


READERS: dict[str, Callable[[DataSource], Dataset]] = {
    "load": lambda source: load(source, 32),
    "load_for": lambda source: load_for(Model(), source),
    "prepare": lambda source: prepare(
        source.path, DataSettings(patient_pattern=source.patient_pattern, label_pattern=LABEL), 32, 0
    ),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_patterns_reach_every_way_to_read(folder: Path, reader: Callable[[DataSource], Dataset]) -> None:
    found = reader(DataSource(folder, PATIENT, LABEL)).manifest
    assert found.classes == ("NORMAL", "bacteria", "virus")
    assert len(set(found.patients)) == 12


def test_a_models_label_pattern_holds_unless_another_is_given(folder: Path) -> None:
    assert set(load_for(Model(), DataSource(folder)).manifest.labels) == {0, 1, 2}
    given = DataSource(folder, label_pattern="_(virus)_")
    assert set(load_for(Model(("NORMAL", "PNEUMONIA", "virus")), given).manifest.labels) == {0, 1, 2}


def test_the_audit_is_told_how_names_are_read(folder: Path) -> None:
    """The complete audit could not be told a patient pattern."""
    assert len(set(inspect(DataSource(folder)).manifest.patients)) == 24
    assert len(set(inspect(DataSource(folder, PATIENT)).manifest.patients)) == 12
