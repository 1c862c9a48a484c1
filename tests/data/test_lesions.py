"""Where disease was marked: ellipses of phantoms, boxes beside the images or in their table, and bad tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.data.lesions import Region, find_lesions, mask
from lungscope.data.manifest import Manifest, read_manifest
from lungscope.data.phantoms.phantom import write_phantoms
from lungscope.errors import ManifestError

Folder = Callable[..., Manifest]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Two classes of one 200 × 100 image each, with further files beside them."""

    def make(**files: str) -> Manifest:
        for name in ("NORMAL/a.png", "PNEUMONIA/b.png"):
            (tmp_path / name).parent.mkdir()
            Image.new("L", (200, 100)).save(tmp_path / name)
        for name, text in files.items():
            (tmp_path / f"{name}.csv").write_text(text)
        return read_manifest(tmp_path)

    return make


def table(tmp_path: Path, cells: str) -> Manifest:
    Image.new("L", (200, 100)).save(tmp_path / "a.png")
    Image.new("L", (200, 100)).save(tmp_path / "b.png")
    (tmp_path / "t.csv").write_text(f"path,label,x,y,Width,height\na.png,NORMAL,,,,\nb.png,PNEUMONIA,{cells}\n")
    return read_manifest(tmp_path / "t.csv")


def test_phantoms_carry_their_ellipses(tmp_path: Path) -> None:
    manifest = read_manifest(write_phantoms(tmp_path / "p", patients=6, seed=1, size=64))
    found = find_lesions(manifest)
    assert found is not None
    assert found.source == "lesions.csv"
    assert [bool(regions) for regions in found.regions] == [label == 1 for label in manifest.labels]


def test_rows_of_one_image_are_its_places_and_others_have_none(folder: Folder) -> None:
    rows = "PNEUMONIA/b.png,consolidation,0.3,0.4,0.1,0.2\nPNEUMONIA/b.png,consolidation,0.7,0.5,0.1,0.1\n"
    found = find_lesions(folder(lesions=f"path,kind,x,y,radius_x,radius_y\n{rows}"))
    assert found is not None
    assert found.regions == ((), (Region(0.3, 0.4, 0.1, 0.2), Region(0.7, 0.5, 0.1, 0.1)))


def test_boxes_are_in_pixels_of_the_stored_picture(folder: Folder) -> None:
    found = find_lesions(folder(boxes="path,x,y,width,height\nPNEUMONIA/b.png,20,10,40,30\n"))
    assert found is not None
    assert found.regions[1] == (Region(0.2, 0.25, 0.1, 0.15, box=True),)


def test_columns_of_the_table_are_boxes_and_empty_cells_are_none(tmp_path: Path) -> None:
    found = find_lesions(table(tmp_path, "20,10,40,30"))
    assert found is not None
    assert found.regions == ((), (Region(0.2, 0.25, 0.1, 0.15, box=True),))
    assert "width" in found.source


def test_images_without_marks_have_none(folder: Folder) -> None:
    assert find_lesions(folder()) is None


def test_a_table_that_names_none_of_the_images_is_none(folder: Folder) -> None:
    assert find_lesions(folder(boxes="path,x,y,width,height\nelsewhere.png,1,1,2,2\n")) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,x,y\nPNEUMONIA/b.png,1,2\n", "no column 'width'.*path,x,y,width,height"),
        ("path,x,y,width,height\nPNEUMONIA/b.png,1,two,3,4\n", "line 2.*Correct them"),
        ("path,x,y,width,height\nPNEUMONIA/b.png,1,nan,3,4\n", "Correct them"),
        ("path,x,y,width,height\nPNEUMONIA/b.png,1,2,0,4\n", "above 0"),
        ("path,x,y,width,height\nPNEUMONIA/b.png,150,10,100,30\n", "200 × 100 pixels.*scale them"),
    ],
)
def test_bad_boxes_are_refused_with_the_remedy(folder: Folder, text: str, told: str) -> None:
    with pytest.raises(ManifestError, match=told):
        find_lesions(folder(boxes=text))


def test_ellipses_in_pixels_are_refused(folder: Folder) -> None:
    with pytest.raises(ManifestError, match="fractions.*boxes.csv"):
        find_lesions(folder(lesions="path,x,y,radius_x,radius_y\nPNEUMONIA/b.png,120,80,20,10\n"))


def test_a_table_in_another_encoding_is_refused(folder: Folder, tmp_path: Path) -> None:
    manifest = folder()
    (tmp_path / "lesions.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="move it away"):
        find_lesions(manifest)


def test_cells_that_are_no_box_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="Row 2 of the images"):
        find_lesions(table(tmp_path, "20,,40,30"))


def test_masks_have_the_area_of_their_shapes() -> None:
    ellipse = mask((Region(0.4, 0.5, 0.3, 0.2),), 400)
    box = mask((Region(0.4, 0.5, 0.3, 0.2, box=True),), 400)
    assert ellipse.mean() == pytest.approx(np.pi * 0.3 * 0.2, rel=0.01)
    assert box.mean() == pytest.approx(0.6 * 0.4, rel=0.01)


def test_a_mask_lies_where_its_region_does() -> None:
    rows, columns = np.nonzero(mask((Region(0.25, 0.75, 0.1, 0.05),), 200))
    assert columns.mean() == pytest.approx(50, abs=1)
    assert rows.mean() == pytest.approx(150, abs=1)
    assert not mask((), 10).any()
