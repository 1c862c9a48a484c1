from pathlib import Path

import numpy as np
import pytest

from lungscope.data.manifest import Manifest
from lungscope.data.strata import clusters, find_strata


def manifest(names: list[str], labels: list[int], **extra: tuple[str, ...]) -> Manifest:
    patients = tuple(name.rsplit("_", 1)[0] for name in names)
    return Manifest(
        tuple(Path("/data") / name for name in names), np.array(labels), patients, ("",) * len(names),
        ("NORMAL", "PNEUMONIA"), extra,
    )  # fmt: skip


@pytest.fixture(scope="module")
def kermany() -> Manifest:
    rows = [(f"IM-{i:04}-0001.jpeg", 0) for i in range(1, 101)]
    rows += [(f"NORMAL2-IM-{i:04}-0001.jpeg", 0) for i in range(300, 400)]
    rows += [(f"person{i}_bacteria_{i + 7}.jpeg", 1) for i in range(1, 121)]
    rows += [(f"person{i}_virus_{i + 9}.jpeg", 1) for i in range(1, 31)]
    names, labels = zip(*rows, strict=True)
    return manifest(list(names), list(labels))


def rows_of(table: Manifest, name: str) -> set[str]:
    stratum = next(stratum for stratum in find_strata(table) if stratum.name == name)
    return {table.paths[row].name for row in stratum.rows}


def test_series_are_told_from_the_names_of_the_kaggle_set(kermany) -> None:
    series = [stratum.name for stratum in find_strata(kermany) if stratum.kind == "series"]
    assert series == ["IM", "NORMAL2-IM", "person-bacteria", "person-virus"]
    assert rows_of(kermany, "person-virus") == {p.name for p in kermany.paths if "virus" in p.name}


def test_the_lowest_numbers_are_a_fifth_of_the_patients(kermany) -> None:
    assert rows_of(kermany, "NORMAL2-IM, lowest numbers") == {f"NORMAL2-IM-{i:04}-0001.jpeg" for i in range(300, 320)}
    together = rows_of(kermany, "lowest numbers of every series")
    assert together == {
        *rows_of(kermany, "IM, lowest numbers"),
        *rows_of(kermany, "NORMAL2-IM, lowest numbers"),
        *rows_of(kermany, "person-bacteria, lowest numbers"),
    }


def test_quarters_share_no_number_and_cover_the_series(kermany) -> None:
    quarters = [rows_of(kermany, f"IM, quarter {i} by number") for i in (1, 2, 3, 4)]
    assert set.union(*quarters) == rows_of(kermany, "IM")
    assert sum(map(len, quarters)) == 100


def test_small_series_are_not_cut_by_number(kermany) -> None:
    assert not [stratum for stratum in find_strata(kermany) if stratum.name.startswith("person-virus,")]


def test_a_column_names_sites_and_small_ones_are_left_out() -> None:
    names = [f"picture{chr(97 + i % 26)}{chr(97 + i // 26)}_.png" for i in range(60)]
    table = manifest(names, [i % 2 for i in range(60)], hospital=("north",) * 41 + ("south",) * 9 + ("east",) * 10)
    assert [(stratum.name, stratum.kind, len(stratum.rows)) for stratum in find_strata(table)] == [
        ("hospital east", "hospital", 10),
        ("hospital north", "hospital", 41),
    ]


def test_names_without_numbers_tell_nothing() -> None:
    names = [f"picture{chr(97 + i % 26)}{chr(97 + i // 26)}.png" for i in range(60)]
    assert find_strata(manifest(names, [i % 2 for i in range(60)])) == ()


def test_clusters_find_groups_within_a_class() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    embeddings = rng.normal(0, 1, (200, 20)).astype(np.float32)
    embeddings[:50, 0] += 30
    found = [
        stratum for stratum in clusters(embeddings, labels, ("NORMAL", "PNEUMONIA"), k=2) if "NORMAL" in stratum.name
    ]
    assert sorted(sorted(stratum.rows.tolist()) for stratum in found) == [list(range(50)), list(range(50, 100))]


def test_a_class_too_small_for_two_clusters_has_none() -> None:
    embeddings = np.random.default_rng(0).normal(size=(139, 8)).astype(np.float32)
    labels = np.repeat([0, 1], (39, 100))
    assert {stratum.name.split()[0] for stratum in clusters(embeddings, labels, ("NORMAL", "PNEUMONIA"))} == {
        "PNEUMONIA"
    }
