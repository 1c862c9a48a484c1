"""Patients under each reading of the file names, counted by hand."""

from pathlib import Path

import numpy as np
import pytest

from lungscope.data.audit.patient_names import AS_READ, NUMBER, NUMBER_AND_KIND, readings
from lungscope.data.manifest import Manifest, read_manifest


def manifest(rows: list[tuple[str, str]], patients: list[str] | None = None) -> Manifest:
    names, splits = zip(*rows, strict=True)
    given = patients or ["file:" + name for name in names]
    return Manifest(
        tuple(Path("/data") / name for name in names),
        np.arange(len(rows)) % 2,
        tuple(given),
        tuple(splits),
        ("NORMAL", "PNEUMONIA"),
    )


KAGGLE = [
    ("person7_bacteria_1.jpeg", "train"),
    ("person7_virus_2.jpeg", "test"),
    ("person7_virus_3.jpeg", "test"),
    ("person8_bacteria_4.jpeg", "train"),
    ("person8_bacteria_5.jpeg", "test"),
    ("IM-0001-0001.jpeg", "train"),
    ("NORMAL2-IM-0001-0001.jpeg", "test"),
    ("IM-0002-0001.jpeg", "validation"),
]
PATIENTS = ["person7"] * 3 + ["person8"] * 2 + ["IM-0001", "NORMAL2-IM-0001", "IM-0002"]


def test_each_reading_is_counted() -> None:
    table = manifest(KAGGLE, PATIENTS)
    by_name = {each.name: each for each in readings(table, table.patients)}
    assert {name: each.patients for name, each in by_name.items()} == {AS_READ: 5, NUMBER: 4, NUMBER_AND_KIND: 6}
    told = {
        name: [(each.patients, each.images) for each in way.overlaps if {each.one, each.other} == {"train", "test"}]
        for name, way in by_name.items()
    }
    assert told == {AS_READ: [(2, 5)], NUMBER: [(3, 7)], NUMBER_AND_KIND: [(1, 2)]}


def test_all_pairs_of_splits_are_told_even_without_overlap() -> None:
    table = manifest(KAGGLE, PATIENTS)
    for way in readings(table, table.patients):
        pairs = [(each.one, each.other) for each in way.overlaps]
        assert pairs == [("train", "validation"), ("train", "test"), ("validation", "test")]
        assert [each.patients for each in way.overlaps if "validation" in (each.one, each.other)] == [0, 0]


def test_patients_of_a_csv_are_believed() -> None:
    table = manifest(KAGGLE, [f"DOE{i}" for i in range(8)])
    (way,) = readings(table, table.patients)
    assert (way.name, way.patients) == (AS_READ, 8)
    assert "DOE" not in repr(way)


def test_other_names_have_a_single_reading() -> None:
    table = manifest([("a.png", "train"), ("b.png", "test")])
    (way,) = readings(table, table.patients)
    assert (way.name, [each.patients for each in way.overlaps]) == (AS_READ, [0])


def test_without_splits_nothing_overlaps() -> None:
    table = manifest([("a.png", ""), ("b.png", "")])
    assert readings(table, table.patients)[0].overlaps == ()


def test_linked_patients_change_only_the_first_reading() -> None:
    table = manifest(KAGGLE, PATIENTS)
    used = ["one"] * 8
    found = {each.name: each.patients for each in readings(table, used)}
    assert found == {AS_READ: 1, NUMBER: 4, NUMBER_AND_KIND: 6}


@pytest.mark.parametrize(("name", "patients"), [(AS_READ, 2861), (NUMBER, 2650), (NUMBER_AND_KIND, 3669)])
def test_the_kermany_set_has_so_many_patients_under_each_reading(shared: Path, name: str, patients: int) -> None:
    table = read_manifest(shared / "data" / "kermany224")
    (way,) = [each for each in readings(table, table.patients) if each.name == name]
    assert way.patients == len(_by_hand(table, name)) or name == AS_READ
    assert abs(way.patients - patients) <= 1


def _by_hand(table: Manifest, name: str) -> set[tuple[str, ...]]:
    found = set()
    for path in table.paths:
        parts = path.name.removeprefix("NORMAL2-").split(".")[0].replace("IM-", "IM_").replace("-", "_").split("_")
        series = "NORMAL2" if path.name.startswith("NORMAL2") else ""
        narrow = series if parts[0] == "IM" else parts[1]
        number = parts[1] if parts[0] == "IM" else parts[0]
        found.add((parts[0][:2], number) if name == NUMBER else (parts[0][:2], number, narrow))
    return found
