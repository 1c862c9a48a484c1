from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.bundle.input_check import COVERAGES, InputCheck, Level, calibrate_input_check, rejection_reason
from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.errors import ConfigError

CHECKS = ("upright", "upside-down", "sideways", "inverted")
CHECK = InputCheck(0.99, (Level(0.95, 1.5), Level(0.99, 2.0)), CHECKS, 0.6, 100, 60)
FINE = [0.97, 0.01, 0.01, 0.01]


def radiograph(pixels: np.ndarray | None = None, **facts: object) -> Radiograph:
    grey = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (80, 1)) if pixels is None else pixels
    return replace(Radiograph(grey, 1200, 1000, 8, "JPEG", 1, ""), **facts)


def reason(distance: float, checks: list[float], coverage: float | None = None) -> str:
    return CHECK.reasons(np.array([distance], np.float32), np.array([checks], np.float32), coverage)[0]


def test_an_image_like_the_training_images_passes() -> None:
    assert reason(1.99, FINE) == ""


def test_a_distance_beyond_the_limit_is_told_with_both() -> None:
    said = reason(2.5, FINE)
    assert said == "unlike the images the model was trained on (distance 2.50, accepted up to 2.00)"
    assert reason(1.7, FINE) == ""
    assert "accepted up to 1.50" in reason(1.7, FINE, 0.95)


@pytest.mark.parametrize(
    ("column", "words"), [(1, "upside down"), (2, "lie on its side"), (3, "black and white seem to be exchanged")]
)
def test_a_picture_that_lies_wrongly_is_told_so(column: int, words: str) -> None:
    checks = [0.04] + [0.01] * 3
    checks[column] = 0.94
    assert words in reason(3.0, checks)
    assert words in reason(1.0, checks)  # by the check alone


def test_something_else_altogether_is_not_called_upside_down() -> None:
    assert "unlike" in reason(30.0, [0.02, 0.96, 0.01, 0.01])
    assert "unlike" in reason(3.0, [0.3, 0.5, 0.1, 0.1])  # and nothing uncertain is


def test_what_is_no_number_does_not_pass() -> None:
    assert reason(float("nan"), FINE)
    assert reason(1.0, [float("nan")] * 4)


def test_a_coverage_that_is_not_kept_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no limit for coverage 0.5. It has: 0.95, 0.99"):
        CHECK.limit(0.5)


def calibrated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    wrong = rng.beta(1, 30, (n, 1))
    return rng.chisquare(8, n).astype(np.float32), np.hstack((1 - wrong, wrong, 0 * wrong, 0 * wrong))


@pytest.mark.parametrize("coverage", [0.9, 0.95, 0.97])
def test_new_images_of_the_same_kind_are_assessed_as_often_as_stated(coverage: float) -> None:
    passed = []
    for seed in range(120):
        distances, checks = calibrated(400, seed)
        input_check = calibrate_input_check(distances[:200], checks[:200], CHECKS, [""] * 200, coverage)
        assert {level.coverage for level in input_check.levels} == {*COVERAGES, coverage}
        passed.append(np.mean([not each for each in input_check.reasons(distances[200:], checks[200:])]))
    error = np.std(passed) / np.sqrt(120)
    assert coverage - 3 * error <= np.mean(passed) <= coverage + 1 / 200 + 3 * error


def test_checks_and_distance_share_what_may_be_rejected() -> None:
    distances, checks = calibrated(1000, 0)
    checks[:8, 0], checks[:8, 1] = 0.01, 0.99  # eight that lie wrongly
    input_check = calibrate_input_check(distances, checks, CHECKS, [""] * 1000, 0.9)
    rejected = [bool(each) for each in input_check.reasons(distances, checks)]
    assert all(rejected[:8])
    assert sum(rejected) == 1000 - np.ceil(1001 * 0.9)


def test_few_images_give_the_largest_distance_seen() -> None:
    distances, checks = calibrated(12, 0)
    input_check = calibrate_input_check(distances, checks, CHECKS, ["a"] * 6 + ["b"] * 6, 0.99)
    assert input_check.limit() == distances.max()
    assert (input_check.images, input_check.patients) == (12, 2)


def test_a_radiograph_can_be_one() -> None:
    assert rejection_reason(radiograph(), 160) == ""


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (radiograph(np.full((80, 80), 90, np.uint8)), "blank"),
        (radiograph(width=60, height=39), "too small (60 × 39 pixels; 40 a side are the least)"),
        (radiograph(width=5000, height=1000), "too long and narrow"),
        (radiograph(foreign="not a radiograph: its DICOM modality is MR"), "modality is MR"),
    ],
)
def test_what_cannot_be_a_radiograph_is_told_why(image: Radiograph, words: str) -> None:
    assert words in rejection_reason(image, 160)


def content(image: Image.Image, form: str) -> bytes:
    file = BytesIO()
    image.save(file, form, **({"quality": 90} if form == "JPEG" else {}))
    return file.getvalue()


def colours() -> Image.Image:
    rows, columns = np.mgrid[0:120, 0:160]
    return Image.fromarray(np.stack((rows * 2, columns, 255 - rows * 2), -1).astype(np.uint8))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("size", [None, 64])
def test_a_picture_in_colour_is_told_from_a_grey_one_stored_in_colour(form: str, size: int | None) -> None:
    photograph = read_radiograph(content(colours(), form), size=size)
    assert rejection_reason(photograph, 64) == "a picture in colour"
    grey = read_radiograph(content(colours().convert("L").convert("RGB"), form), size=size)
    tinted = Image.merge("RGB", [colours().convert("L").point(lambda v, t=t: v * t) for t in (0.9, 0.95, 1)])
    assert rejection_reason(grey, 64) == ""
    assert rejection_reason(read_radiograph(content(tinted, form), size=size), 64) == ""


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_grey_of_a_picture_does_not_depend_on_whether_colour_is_looked_at(form: str) -> None:
    found = read_radiograph(content(colours(), form)).pixels
    wanted = Image.open(BytesIO(content(colours(), form)))
    wanted.draft("L", None)
    np.testing.assert_array_equal(found, np.asarray(wanted.convert("L")))


def test_slices_and_lateral_views_are_told_by_their_dicom_header(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file
    from pydicom.filereader import dcmread

    header = dcmread(get_testdata_file("CT_small.dcm", download=False))
    for modality, view, words in [
        ("CT", "", "modality is CT"), ("DX", "LL", "view position is LL"), ("DX", "PA", ""), ("DX", "LLD", ""),
    ]:  # fmt: skip
        header.Modality, header.ViewPosition = modality, view
        header.save_as(tmp_path / "file.dcm")
        found = read_radiograph(tmp_path / "file.dcm").foreign
        assert words in found
        assert bool(words) == bool(found)
