"""Registration finds the window that was cut out; filters agree with SciPy and Pillow."""

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter, zoom

from lungscope.data.audit.alignment import agreement, details, low_frequencies, register, shrink, tangents, unit

STEPS = ((2.0, 6.0), (2.0, 6.0), (1.0, 4.0), (0.7, 3.0), (0.7, 3.0))


def texture(seed: int, size: int = 160) -> np.ndarray:
    """A picture with detail at every scale, as radiographs have."""
    noise = np.random.default_rng(seed).normal(size=(5, size, size))
    layers = [
        deviation * gaussian_filter(each, deviation) for each, deviation in zip(noise, (2, 4, 8, 16, 32), strict=True)
    ]
    mixed = np.sum(layers, axis=0)
    return np.uint8(255 * (mixed - mixed.min()) / np.ptp(mixed))


def cut(picture: np.ndarray, left: float, right: float, top: float, bottom: float) -> np.ndarray:
    size = len(picture)
    box = (left * size, top * size, (1 - right) * size, (1 - bottom) * size)
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC, box))


def grid(*pictures: np.ndarray, side: int = 40) -> np.ndarray:
    return shrink(np.stack(pictures), side)


@pytest.mark.parametrize("side", [16, 20, 40])
def test_shrinking_is_the_mean_of_each_cell(side: int) -> None:
    picture = texture(0)
    expected = Image.fromarray(picture.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
    np.testing.assert_allclose(grid(picture, side=side)[0], np.asarray(expected), atol=0.01)


def test_shrinking_counts_a_pixel_in_two_cells_by_its_parts() -> None:
    np.testing.assert_allclose(shrink(np.array([[[0, 30, 90]] * 3], np.uint8), 2)[0, 0], [10, 70])


def test_low_frequencies_are_the_cosine_transform() -> None:
    pictures = grid(texture(1), texture(2), side=24)
    expected = dctn(pictures, axes=(1, 2), norm="ortho")[:, :6, :6] * 24 / 2
    np.testing.assert_allclose(low_frequencies(pictures, 6), expected.reshape(2, 36)[:, 1:], rtol=2e-3, atol=0.1)


def test_details_are_a_difference_of_gaussians_away_from_the_edge() -> None:
    pictures = grid(texture(3), side=80)
    fine = gaussian_filter(pictures[0], 1.0)
    expected = fine - gaussian_filter(fine, 3.0)
    np.testing.assert_allclose(details(pictures, 1.0, 3.0)[0, 15:-15, 15:-15], expected[15:-15, 15:-15], atol=0.05)


def test_unit_vectors_have_their_correlation_as_product() -> None:
    a, b = np.random.default_rng(0).normal(5, 1, size=(2, 1, 50)).astype(np.float32)
    assert float(unit(a)[0] @ unit(b)[0]) == pytest.approx(np.corrcoef(a[0], b[0])[0, 1], abs=1e-5)
    assert not unit(np.full((1, 50), 7, np.float32)).any()


def test_tangents_are_the_change_of_a_picture_with_its_window() -> None:
    picture = gaussian_filter(texture(4).astype(np.float32), 6)
    small, moved = (zoom(each, 0.25, order=1)[None] for each in (picture, np.roll(picture, -2, axis=1)))
    # Two of 160 pixels are a shift of 0.025, where -1 to 1 is the whole.
    predicted = 0.025 * tangents(small)[0, 1]
    inner = (slice(3, -3), slice(3, -3))
    assert np.corrcoef(predicted[inner].ravel(), (moved - small)[0][inner].ravel())[0, 1] > 0.98


@pytest.mark.parametrize("edges", [(0.05, 0.05, 0.05, 0.05), (0.08, 0, 0, 0), (0, 0.06, 0.08, 0.02)])
def test_registration_finds_what_was_cut_off(edges: tuple[float, float, float, float]) -> None:
    left, right, top, bottom = edges
    pictures = [texture(seed) for seed in range(6)]
    moving, fixed = grid(*pictures), grid(*(cut(each, *edges) for each in pictures))
    found = register(moving, fixed, np.zeros((6, 4), np.float32), STEPS)
    expected = [-(left + right), left - right, -(top + bottom), top - bottom]
    np.testing.assert_allclose(found, np.tile(expected, (6, 1)), atol=0.012)
    assert agreement(moving, fixed, found).min() > 0.9
    assert agreement(moving, fixed, np.zeros_like(found)).max() < 0.8


def test_agreement_does_not_mind_brightness_and_contrast() -> None:
    picture, window = texture(7), np.zeros((1, 4), np.float32)
    for changed in (picture * 0.6 + 80, 255 * (picture / 255) ** 1.4):
        assert agreement(grid(picture), grid(changed.astype(np.uint8)), window)[0] > 0.97


def test_different_and_blank_pictures_do_not_agree() -> None:
    window = np.zeros((1, 4), np.float32)
    blank = np.full((160, 160), 90, np.uint8)
    for one, other in ((texture(8), texture(9)), (blank, texture(8)), (blank, blank)):
        moving, fixed = grid(one), grid(other)
        found = register(moving, fixed, window, STEPS)
        assert np.isfinite(found).all()
        assert agreement(moving, fixed, found)[0] < 0.5
