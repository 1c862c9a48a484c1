"""Altered copies are found, other pictures are not."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lungscope.data.audit.near_duplicates import NearPair, near_duplicates
from lungscope.data.images.radiograph import read_radiograph
from lungscope.data.phantoms.phantom import draw_phantom

SIZE, PATIENTS = 160, 30


def saved_again(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=40)
    return Image.open(content)


def without_edges(image: Image.Image, share: float) -> Image.Image:
    wide, high = image.size
    return image.crop(
        (round(share * wide), round(share * high), wide - round(share * wide), high - round(share * high))
    )


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again": saved_again,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter": lambda image: image.point(lambda grey: grey * 1.15 + 15),
    "darker": lambda image: image.point(lambda grey: 255 * (grey / 255) ** 1.4),
    "mirrored": ImageOps.mirror,
    "cut": lambda image: without_edges(image, 0.05),
    "mirrored and cut": lambda image: ImageOps.mirror(without_edges(image, 0.04)),
    "all of it": lambda image: saved_again(without_edges(image, 0.03).resize((120, 120)).point(lambda g: g * 1.1)),
}


def squashed(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


@pytest.fixture(scope="module")
def phantoms() -> list[Image.Image]:
    rng = np.random.default_rng(5)
    return [Image.fromarray(draw_phantom(rng, size=224, abnormal=i % 2 == 0).pixels) for i in range(PATIENTS)]


@pytest.fixture(scope="module")
def radiographs(shared: Path) -> list[Image.Image]:
    folder = shared / "data" / "kermany224" / "train"
    paths = [path for label in ("NORMAL", "PNEUMONIA") for path in sorted((folder / label).iterdir())[::60]]
    return [Image.fromarray(read_radiograph(path).pixels) for path in paths]


def found_in(images: list[Image.Image], change: Callable[[Image.Image], Image.Image], n: int) -> list[NearPair]:
    copies = [change(image) for image in images[:n]]
    pixels = np.stack([squashed(each) for each in (*images, *copies)])
    return list(near_duplicates(pixels, range(len(pixels))))


@pytest.mark.parametrize("name", COPIES)
def test_an_altered_copy_of_a_phantom_is_found(phantoms: list[Image.Image], name: str) -> None:
    pairs = found_in(phantoms, COPIES[name], 8)
    found = {(pair.first, pair.second) for pair in pairs}
    assert found <= {(i, PATIENTS + i) for i in range(8)}
    assert len(found) >= 7
    assert all(pair.mirrored == ("mirrored" in name) for pair in pairs)


@pytest.mark.parametrize("name", COPIES)
def test_an_altered_copy_of_a_radiograph_is_found(radiographs: list[Image.Image], name: str) -> None:
    pairs = found_in(radiographs, COPIES[name], 20)
    found = {(pair.first, pair.second) for pair in pairs}
    assert found <= {(i, len(radiographs) + i) for i in range(20)}
    assert len(found) >= 19


def test_radiographs_of_different_patients_are_no_copies(radiographs: list[Image.Image]) -> None:
    pixels = np.stack([squashed(each) for each in radiographs])
    assert near_duplicates(pixels, range(len(pixels))) == ()


def test_how_much_was_cut_is_told(phantoms: list[Image.Image]) -> None:
    pairs = found_in(phantoms, COPIES["cut"], 8)
    assert [pair.cut for pair in pairs] == pytest.approx([1 - 0.9**2] * 8, abs=0.03)


def test_the_order_of_rows_and_the_others_do_not_matter(phantoms: list[Image.Image]) -> None:
    pixels = np.stack([squashed(each) for each in (phantoms[0], *phantoms, COPIES["cut"](phantoms[3]))])
    rows = [*range(1, PATIENTS + 2)]
    pairs = near_duplicates(pixels, rows[::-1])
    assert [(pair.first, pair.second) for pair in pairs] == [(4, PATIENTS + 1)]


@pytest.mark.parametrize("size", [32, 100, 224])
def test_any_size_of_pixels_will_do(phantoms: list[Image.Image], size: int) -> None:
    images = [*phantoms[:10], COPIES["brighter"](phantoms[2])]
    pixels = np.stack([np.asarray(each.resize((size, size), Image.Resampling.BILINEAR)) for each in images])
    assert [(pair.first, pair.second) for pair in near_duplicates(pixels, range(11))] == [(2, 10)]


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pictures_have_no_pairs(n: int) -> None:
    assert near_duplicates(np.zeros((n, SIZE, SIZE), np.uint8), range(n)) == ()


def test_blank_pictures_are_not_paired(phantoms: list[Image.Image]) -> None:
    blank = [np.full((SIZE, SIZE), grey, np.uint8) for grey in (0, 7, 255)]
    pixels = np.stack([*blank, *(squashed(each) for each in phantoms[:5])])
    assert near_duplicates(pixels, range(8)) == ()
