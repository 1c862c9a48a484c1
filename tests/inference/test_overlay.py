"""Heat maps over radiographs: what is drawn, where, and how the colours run."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lungscope.inference.overlay import colour_ramp, enlarge, overlay

GREY = np.random.default_rng(0).integers(30, 200, (120, 90), dtype=np.uint8)


def heat_at(row: int, column: int, shape: tuple[int, int] = (5, 5)) -> NDArray[np.float32]:
    heatmap = np.zeros(shape, np.float32)
    heatmap[row, column] = 3.7
    return heatmap


def colouring(drawn: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W): how far each pixel is from grey."""
    return drawn.astype(np.float64).max(-1) - drawn.min(-1)


def test_a_map_without_heat_leaves_the_plain_radiograph() -> None:
    drawn = overlay(GREY, np.zeros((5, 5), np.float32))
    assert drawn.shape == (120, 90, 3)
    assert drawn.dtype == np.uint8
    assert (drawn == GREY[:, :, None]).all()


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 4), (4, 0), (4, 4)])
def test_colour_stands_in_the_corner_that_is_hot(row: int, column: int) -> None:
    colour = colouring(overlay(GREY, heat_at(row, column)))
    quadrants = {(r, c): colour[60 * r : 60 * r + 60, 45 * c : 45 * c + 45].mean() for r in (0, 1) for c in (0, 1)}
    assert max(quadrants, key=lambda place: quadrants[place]) == (row // 4, column // 4)


def test_a_map_that_is_wider_than_high_is_not_turned() -> None:
    colour = colouring(overlay(GREY, heat_at(0, 6, shape=(2, 7))))
    top_right, bottom_left = colour[:60, 78:], colour[60:, :12]
    assert top_right.mean() > 10 * (bottom_left.mean() + 0.1)


def test_only_where_there_is_heat_does_the_picture_change() -> None:
    drawn = overlay(GREY, heat_at(0, 0))
    assert (drawn[72:] == GREY[72:, :, None]).all()


def test_the_strength_of_a_map_does_not_matter() -> None:
    heatmap = np.random.default_rng(1).random((7, 7)).astype(np.float32)
    assert (overlay(GREY, heatmap) == overlay(GREY, heatmap * 1000)).all()


def test_anatomy_stays_visible_under_the_hottest_spot() -> None:
    drawn = overlay(GREY, np.ones((5, 5), np.float32)).astype(np.float64)
    lightness = drawn.mean(-1)
    assert np.corrcoef(lightness.ravel(), GREY.ravel())[0, 1] > 0.99
    assert np.ptp(lightness) > 0.5 * np.ptp(GREY)


def test_opacity_zero_draws_nothing_and_one_covers_the_hottest_spot() -> None:
    heatmap = np.ones((5, 5), np.float32)
    assert (overlay(GREY, heatmap, opacity=0.0) == GREY[:, :, None]).all()
    assert np.ptp(overlay(GREY, heatmap, opacity=1.0), axis=(0, 1)).max() == 0


def test_enlarged_heat_stays_between_zero_and_one_and_peaks_where_it_did() -> None:
    heat = enlarge(heat_at(1, 3), (100, 50))
    assert heat.shape == (100, 50)
    assert heat.min() == 0
    assert 0.9 < heat.max() <= 1
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (abs(row - 29.5), abs(column - 34.5)) <= (1, 1)


def test_a_map_without_any_number_is_drawn_as_no_heat() -> None:
    assert not enlarge(np.full((3, 3), np.nan, np.float32), (9, 9)).any()


def test_the_ramp_grows_lighter_from_end_to_end_and_cannot_be_changed() -> None:
    ramp = colour_ramp()
    luminance = (np.where(ramp <= 10.3, ramp / 3294.6, ((ramp / 255 + 0.055) / 1.055) ** 2.4)) @ (
        0.2126,
        0.7152,
        0.0722,
    )
    assert ramp.shape == (256, 3)
    assert (np.diff(luminance) > 0).all()
    with pytest.raises(ValueError, match="read-only"):
        ramp[0] = 0
