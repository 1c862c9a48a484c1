"""`load_dataset`: rows, splits, audit, and images for PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch

import lungscope as ls
from lungscope.data.images.radiograph import read_radiograph
from lungscope.data.phantoms.phantom import write_phantoms
from lungscope.errors import ConfigError, ManifestError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), patients=40, seed=0, size=64)


@pytest.fixture(scope="module")
def data(folder: Path) -> ls.Dataset:
    return ls.load_dataset(folder, size=32)


def test_rows_hold_what_the_columns_say(data: ls.Dataset) -> None:
    assert len(data.rows) == len(data) == len(data.labels) == len(data.patients) == len(data.splits)
    row = data.rows[0]
    assert (row.label, row.patient, row.split) == (data.classes[data.labels[0]], data.patients[0], data.splits[0])
    assert row.path.exists()
    assert "patient" not in repr(row)


def test_no_patient_is_in_two_splits_and_the_seed_decides(data: ls.Dataset, folder: Path) -> None:
    of = {}
    for row in data.rows:
        of.setdefault(row.patient, set()).add(row.split)
    assert {len(splits) for splits in of.values()} == {1}
    assert set(data.splits) == {"train", "validation", "test"}
    assert ls.load_dataset(folder, size=32).splits == data.splits
    assert ls.load_dataset(folder, size=32, seed=1).splits != data.splits


def test_it_is_audited(data: ls.Dataset) -> None:
    assert data.audit.n == len(data)
    assert not data.audit.leaks
    assert data.audit.findings  # few images


def test_leakage_is_told_and_not_refused(folder: Path) -> None:
    assert ls.load_dataset(folder, size=32, split="random").audit.leaks


def test_images_for_pytorch_are_those_of_prediction(data: ls.Dataset) -> None:
    images, rows = data.torch("test"), [row for row in data.rows if row.split == "test"]
    assert len(images) == len(rows)
    for (pixels, label), row in zip(images, rows, strict=True):
        assert (pixels.dtype, pixels.shape) == (torch.uint8, (1, 32, 32))
        np.testing.assert_array_equal(pixels[0].numpy(), read_radiograph(row.path, size=32).pixels)
        assert data.classes[label] == row.label
    batch, labels = next(iter(torch.utils.data.DataLoader(images, batch_size=4)))
    assert (batch.shape, labels.shape) == ((4, 1, 32, 32), (4,))
    assert len(data.torch()) == len(data)


def test_it_shows_itself(data: ls.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert "40" not in data._repr_html_() or data.classes[0] in data._repr_html_()
    assert all(name in data._repr_html_() for name in (*data.classes, "validation"))
    assert f"{len(data)} images" in repr(data)
    assert capsys.readouterr() == ("", "")


def test_further_columns_of_a_csv_are_in_the_data_frame(table: Path, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    lines = [lines[0] + ",age", *(f"{table.parent / line},{20 + i}" for i, line in enumerate(lines[1:]))]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    frame = ls.load_dataset(tmp_path / "table.csv", split="predefined", size=32).to_pandas()
    assert list(frame) == ["path", "label", "patient", "split", "age"]
    assert list(frame["age"]) == [str(20 + i) for i in range(60)]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"split": "thirds"}, ConfigError, "auto, predefined, patients, random"),
        ({"patient_pattern": "("}, ConfigError, "patient_pattern"),
        ({"label_pattern": "x"}, ConfigError, "label_pattern"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line(folder: Path, options, error, words) -> None:
    with pytest.raises(error, match=words):
        ls.load_dataset(folder, **options)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such folder"):
        ls.load_dataset(tmp_path / "gone")


def test_a_split_that_does_not_exist(data: ls.Dataset) -> None:
    with pytest.raises(ConfigError, match="train, validation, test or all"):
        data.torch("val")
