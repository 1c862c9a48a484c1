"""Each trait measures what its name says, on pictures that are made for it."""

import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from lungscope.data.audit.traits import Trait, measure
from lungscope.data.decode import Record
from lungscope.data.pack import Pack

SIZE = 160
NAMES = (
    "file size", "width", "height", "aspect", "bit depth", "format and colour",
    "sharpness", "mean brightness", "contrast", "border", "corner text",
)  # fmt: skip


def body(seed: int = 0, blur: float = 2.0) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(SIZE, SIZE)), blur)
    return np.clip(60 + 25 * noise / noise.std(), 0, 255).astype(np.uint8)


def packed(*pictures: np.ndarray, records: list[Record] | None = None) -> Pack:
    plain = [record(picture) for picture in pictures]
    return Pack(np.stack(pictures), tuple(records or plain))


def record(picture: np.ndarray, **changes: object) -> Record:
    values: dict[str, object] = {
        "sha256": "", "pixel_sha256": hashlib.sha256(picture.tobytes()).hexdigest(), "width": 200, "height": 100,
        "bits": 8, "format": "JPEG", "file_bytes": 5000, "notes": (), "error": "",
    }  # fmt: skip
    return Record(**(values | changes))  # type: ignore[arg-type]


def traits(pack: Pack) -> dict[str, Trait]:
    return {trait.name: trait for trait in measure(pack, range(len(pack)))}


def test_every_trait_is_measured_and_says_what_the_loader_does() -> None:
    found = measure(packed(body(0), body(1), body(2)), [0, 2])
    assert tuple(trait.name for trait in found) == NAMES
    assert {trait.group for trait in found[:6]} == {"file"}
    assert {trait.group for trait in found[6:]} == {"picture"}
    assert all(len(trait.values) == 2 and np.isfinite(trait.values).all() for trait in found)
    assert all("loader" in trait.loader for trait in found)


def test_what_the_file_says_is_taken_as_it_is() -> None:
    one, other = body(0), body(1)
    notes = {"notes": ("colour to grey",), "format": "PNG", "file_bytes": 77, "width": 300, "bits": 16}
    found = traits(packed(one, other, records=[record(one), record(other, **notes)]))
    expected = {
        "file size": [5000, 77],
        "width": [200, 300],
        "height": [100, 100],
        "aspect": [2, 3],
        "bit depth": [8, 16],
    }
    assert {name: found[name].values.ravel().tolist() for name in expected} == expected
    assert found["format and colour"].values.tolist() == [[0, 0], [1, 1]]


def test_brightness_and_contrast_are_mean_and_deviation() -> None:
    picture = body(3)
    found = traits(packed(picture))
    assert found["mean brightness"].values[0, 0] == pytest.approx(picture.mean(), abs=0.01)
    assert found["contrast"].values[0, 0] == pytest.approx(picture.std(), abs=0.01)


def test_a_blurred_picture_is_less_sharp_whatever_its_contrast() -> None:
    sharp, blurred = body(4, blur=1.0), body(4, blur=3.0)
    values = traits(packed(sharp, blurred, sharp // 2))["sharpness"].values[:, 0]
    assert values[0] - values[1] > 2
    assert values[2] == pytest.approx(values[0], abs=0.15)


@pytest.mark.parametrize(
    ("bar", "place"),
    [((slice(0, 16), slice(None)), 0), ((slice(-16, None), slice(None)), 1), ((slice(None), slice(0, 16)), 2),
     ((slice(None), slice(-16, None)), 3)],
)  # fmt: skip
def test_a_bar_on_one_side_is_found_there(bar: tuple[slice, slice], place: int) -> None:
    barred = body(5)
    barred[bar] = 0
    widths = traits(packed(body(5), barred))["border"].values[:, ::2]
    assert widths[0].max() == 0
    assert np.flatnonzero(widths[1]).tolist() == [place]
    assert widths[1, place] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(("x", "y", "place"), [(4, 6, 0), (4, 140, 1), (140, 6, 2), (140, 140, 3)])
def test_a_letter_is_found_where_it_is(x: int, y: int, place: int) -> None:
    picture = Image.fromarray(body(6) // 2)
    ImageDraw.Draw(picture).text((x, y), "R", fill=255)
    values = traits(packed(body(6) // 2, np.asarray(picture)))["corner text"].values
    assert values[0].max() == 0
    assert np.flatnonzero(values[1]).tolist() == [place]


def test_a_broad_bright_edge_is_no_letter() -> None:
    shoulder = np.zeros((SIZE, SIZE), np.uint8)
    shoulder[60:, :] = 200
    assert not traits(packed(shoulder))["corner text"].values.any()


def test_blank_pictures_have_finite_traits() -> None:
    blank = np.zeros((SIZE, SIZE), np.uint8)
    assert all(np.isfinite(trait.values).all() for trait in measure(packed(blank, blank), [0, 1]))


@pytest.mark.parametrize("size", [32, 33, 224])
def test_any_size_will_do(size: int) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (size, size)).astype(np.uint8)
    assert len(measure(packed(picture), [0])) == len(NAMES)
