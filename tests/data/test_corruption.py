import numpy as np
import pytest

from lungscope.data.corruption import CORRUPTIONS, corrupt

BY_NAME = {corruption.name: corruption for corruption in CORRUPTIONS}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    y, x = np.mgrid[0:80, 0:80]
    picture = 110 + 60 * np.sin(x / 4) * np.cos(y / 6)
    return np.stack([picture, picture + 20]).astype(np.uint8)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_seed_decides_and_the_picture_changes(pixels, name: str) -> None:
    found = corrupt(pixels, BY_NAME[name])
    assert found.shape == pixels.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found, corrupt(pixels, BY_NAME[name]))
    assert not np.array_equal(found, pixels)


@pytest.mark.parametrize("name", ["cropped", "noisy"])
def test_an_image_does_not_depend_on_its_neighbours(pixels, name: str) -> None:
    assert np.array_equal(corrupt(pixels[:1], BY_NAME[name])[0], corrupt(pixels, BY_NAME[name])[0])
    assert not np.array_equal(corrupt(pixels, BY_NAME[name], 1), corrupt(pixels, BY_NAME[name], 2))


def test_exposures_follow_their_formula(pixels) -> None:
    found = corrupt(pixels, BY_NAME["underexposed"]).astype(float)
    assert np.abs(found - 255 * (pixels / 255.0) ** 1.6).max() <= 0.5001
    darker = corrupt(pixels, BY_NAME["darker"]).astype(float)
    assert np.abs(darker - 0.7 * pixels).max() <= 0.5001


def test_noise_has_its_stated_deviation() -> None:
    flat = np.full((4, 100, 100), 128, np.uint8)
    assert (corrupt(flat, BY_NAME["noisy"]).astype(float) - 128).std() == pytest.approx(12, rel=0.03)


def test_detail_is_lost_and_means_are_kept(pixels) -> None:
    for name in ("blurred", "coarse", "compressed"):
        found = corrupt(pixels, BY_NAME[name]).astype(float)
        assert found.mean() == pytest.approx(pixels.mean(), abs=1.5)


def test_a_frame_is_black(pixels) -> None:
    found = corrupt(pixels, BY_NAME["framed"])
    assert not found[:, :5].any()
    assert found[:, 40, 40].all()
