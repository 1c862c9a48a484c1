"""The complete audit of small data sets in which faults were planted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lungscope.data.audit.inspection import Inspection, examine, inspect
from lungscope.data.dataset import DataSource
from lungscope.data.manifest import read_manifest
from lungscope.data.pack import pack
from lungscope.data.phantoms.phantom import draw_phantom
from lungscope.errors import DataError, ManifestError

FEW = 8
"""Images, so few that no probe is run."""


@pytest.fixture(scope="module")
def phantoms() -> list[Image.Image]:
    rng = np.random.default_rng(2)
    return [Image.fromarray(draw_phantom(rng, size=160, abnormal=False).pixels) for _ in range(40)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_CACHE", str(tmp_path / "cache"))


def write(folder: Path, images: list[Image.Image], *, splits: bool = True) -> Path:
    """Two classes, in two splits if wanted; every file names a patient of its own."""
    for i, image in enumerate(images):
        label = ("NORMAL", "PNEUMONIA")[i % 2]
        place = folder / ("train", "test")[i // 2 % 2] / label if splits else folder / label
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{i:08}_000.png")
    return folder


def kinds(found: Inspection) -> dict[str, str]:
    return {each.kind: each.severity for each in found.report.findings}


def test_a_clean_data_set_has_no_leak_and_no_pair(phantoms: list[Image.Image], tmp_path: Path) -> None:
    found = inspect(DataSource(write(tmp_path / "data", phantoms)))
    assert (found.near, found.report.leaks) == ((), ())
    assert [each.images for each in found.statistics] == [20, 20]
    assert {each.patients for each in found.statistics} == {20}
    assert [overlap.patients for overlap in found.readings[0].overlaps] == [0]


def test_an_altered_copy_in_another_split_is_leakage(phantoms: list[Image.Image], tmp_path: Path) -> None:
    folder = write(tmp_path / "data", phantoms[:FEW])
    phantoms[0].point(lambda grey: grey * 0.8 + 20).save(folder / "test" / "NORMAL" / "00000900_000.png")
    found = inspect(DataSource(folder))
    assert kinds(found)["near-duplicate-across-splits"] == "leakage"
    assert kinds(found)["near-duplicate-across-patients"] == "warning"
    (pair,) = found.near
    names = {found.manifest.paths[row].name for row in (pair.first, pair.second)}
    assert names == {"00000000_000.png", "00000900_000.png"}
    (finding,) = [each for each in found.report.leaks if each.kind == "near-duplicate-across-splits"]
    assert {path.name for path in finding.paths} == names
    assert "1 pair of near-identical pictures" in finding.message
    assert "00000900" not in finding.message


def test_an_altered_copy_with_another_label_is_a_conflict(phantoms: list[Image.Image], tmp_path: Path) -> None:
    folder = write(tmp_path / "data", phantoms[:FEW], splits=False)
    ImageOps.mirror(phantoms[0]).save(folder / "PNEUMONIA" / "00000900_000.png")
    found = inspect(DataSource(folder))
    assert kinds(found)["near-label-conflict"] == "warning"
    assert found.report.leaks == ()
    assert found.near[0].mirrored


def test_identical_files_are_no_near_duplicates(phantoms: list[Image.Image], tmp_path: Path) -> None:
    folder = write(tmp_path / "data", phantoms[:FEW], splits=False)
    phantoms[0].save(folder / "NORMAL" / "00000900_000.png")
    found = inspect(DataSource(folder))
    assert found.near == ()
    assert kinds(found)["duplicate"] == "warning"


def test_file_size_that_tells_the_label_is_a_shortcut(phantoms: list[Image.Image], tmp_path: Path) -> None:
    for i, image in enumerate(phantoms):
        place = tmp_path / "data" / ("NORMAL", "PNEUMONIA")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{i:08}_000.jpeg", quality=(95, 40)[i % 2])
    found = inspect(DataSource(tmp_path / "data"))
    (finding,) = [each for each in found.report.findings if each.message.startswith("File size alone")]
    assert (finding.kind, finding.severity) == ("shortcut", "warning")
    assert "lets a model cheat. The loader removes the number" in finding.message


def test_both_bounds_are_told_where_the_names_have_two_readings(phantoms: list[Image.Image], tmp_path: Path) -> None:
    names = ["person1_bacteria_1", "IM-0001-0001", "person1_virus_2", "NORMAL2-IM-0001-0001"]
    for name, image in zip(names, phantoms[:4], strict=True):
        place = tmp_path / ("test" if "2" in name else "train") / ("NORMAL" if "IM" in name else "PNEUMONIA")
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{name}.png")
    found = inspect(DataSource(tmp_path))
    (finding,) = [each for each in found.report.findings if "patient-number" in each.kind]
    assert finding.severity == "warning"
    assert finding.message.startswith("Between 0 and 2 patients stand in both train and test (0 to 4 images)")


def test_unreadable_files_are_reported_and_left_out(phantoms: list[Image.Image], tmp_path: Path) -> None:
    folder = write(tmp_path / "data", phantoms[:FEW], splits=False)
    for name in ("a.png", "b.png"):
        (folder / "NORMAL" / name).write_bytes(b"\x89PNG\r\n\x1a\nno more")
    found = inspect(DataSource(folder))
    assert kinds(found)["unreadable"] == "error"
    assert (found.report.n, found.report.unreadable, found.statistics[0].images) == (10, 2, 4)


def test_a_class_without_a_readable_image_has_no_statistics(phantoms: list[Image.Image], tmp_path: Path) -> None:
    write(tmp_path / "data", phantoms[:FEW], splits=False)
    for path in (tmp_path / "data" / "PNEUMONIA").iterdir():
        path.write_bytes(b"")
    found = inspect(DataSource(tmp_path / "data"))
    assert (found.statistics[1].images, found.statistics[1].width) == (0, None)
    assert {each.auroc.reason for each in found.probes if each.target == "label"} == {
        "all readable images have one label"
    }


@pytest.mark.parametrize("n", [2, 3])
def test_two_or_three_images_are_audited_too(phantoms: list[Image.Image], tmp_path: Path, n: int) -> None:
    found = inspect(DataSource(write(tmp_path / "data", phantoms[:n], splits=False)))
    assert {each.auroc.reason for each in found.probes if each.target == "label"} == {
        "a class has fewer than 5 patients"
    }


def test_no_readable_image_at_all_is_refused(tmp_path: Path) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of 2 images can be read.*empty"):
        inspect(DataSource(tmp_path))


def test_a_single_class_is_refused_with_the_remedy(phantoms: list[Image.Image], tmp_path: Path) -> None:
    (tmp_path / "NORMAL").mkdir()
    phantoms[0].save(tmp_path / "NORMAL" / "a.png")
    with pytest.raises(ManifestError, match="only one class.*Pass the folder above"):
        inspect(DataSource(tmp_path))


@pytest.mark.slow
def test_the_kermany_set_is_audited_as_documented(shared: Path, tmp_path: Path) -> None:
    manifest = read_manifest(shared / "data" / "kermany224" / "train")
    found = examine(manifest, pack(manifest.paths, 160, cache=tmp_path))
    assert len(found.report.duplicates) == 24
    assert found.near == ()
    by_name = {each.name: each for each in found.probes if each.target == "label"}
    assert by_name["file size"].auroc.value == pytest.approx(0.89, abs=0.02)
    assert by_name["width"].auroc.reason == "it is the same in all images"


def test_file_size_gives_the_label_of_original_radiographs_away(shared: Path) -> None:
    found = inspect(DataSource(shared / "data" / "kermany_fullsize"))
    by_name = {each.name: each.auroc.value or 0.0 for each in found.probes if each.target == "label"}
    assert by_name["file size"] > 0.97
    assert by_name["height"] > 0.85
    assert by_name["width"] > 0.80
    assert found.near == ()
