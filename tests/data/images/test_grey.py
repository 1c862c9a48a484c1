import threading
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungscope.data.images.grey import MAX_PIXELS, check_pixels, grey_range, mute_libraries, ramp, to_grey
from lungscope.errors import UnreadableImage


def histogram(pixels):
    values, counts = np.unique(pixels, return_counts=True)
    return values.astype(float), counts


def test_pixels_that_lie_close_together_keep_their_whole_range():
    assert grey_range(*histogram(np.arange(800, 3600))) == (800, 3599)


def test_a_dead_pixel_does_not_darken_the_picture():
    pixels = np.append(np.tile(np.arange(800, 3600), 100), 65535)
    assert grey_range(*histogram(pixels)) == (800, 3599)


def test_a_burnt_in_marker_widens_the_range_by_a_quarter_at_most():
    pixels = np.append(np.tile(np.arange(1000), 100), [65535] * 300)
    low, high = grey_range(*histogram(pixels))
    inner_low, inner_high = np.quantile(pixels, [0.005, 0.995], method="inverted_cdf")
    assert low == 0
    assert high == inner_high + (inner_high - inner_low) / 4


def test_the_order_of_the_values_is_of_no_account():
    rng = np.random.default_rng(0)
    values, counts = rng.normal(size=500), rng.integers(1, 50, 500)
    order = rng.permutation(500)
    assert grey_range(values, counts) == grey_range(values[order], counts[order])


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=300))
def test_the_range_lies_within_the_pixels(pixels):
    low, high = grey_range(*histogram(pixels))
    assert min(pixels) <= low <= high <= max(pixels)


def test_two_values_become_black_and_white_however_rare_one_is():
    pixels = np.zeros(100_000)
    pixels[:300] = 4095
    assert grey_range(*histogram(pixels)) == (0, 4095)


def test_one_value_throughout_is_black():
    values, counts = histogram(np.full(9, 4095))
    assert (to_grey(ramp(values, *grey_range(values, counts))) == 0).all()


def test_fractions_are_rounded_and_clipped():
    np.testing.assert_array_equal(to_grey(np.array([-0.1, 0, 0.5, 1, 1.1])), [0, 0, 128, 255, 255])


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0)])
def test_a_picture_without_pixels_is_refused(width, height):
    with pytest.raises(UnreadableImage, match="x: the picture has no pixels .* Export it again"):
        check_pixels(width, height, "x")


def test_the_limit_of_pixels_is_named():
    check_pixels(MAX_PIXELS, 1, "x")
    with pytest.raises(UnreadableImage, match=r"x: .* limit of 100,000,000 \(MAX_PIXELS\). Scale it down"):
        check_pixels(MAX_PIXELS + 1, 1, "x")


def test_only_the_libraries_are_muted_and_no_filter_is_added_twice():
    mute_libraries()
    before = len(warnings.filters)
    threads = [threading.Thread(target=mute_libraries) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(warnings.filters) == before
    warnings.warn_explicit("quotes a header", UserWarning, "f.py", 1, module="pydicom.valuerep")
    with pytest.raises(UserWarning, match="ours"):
        warnings.warn_explicit("ours", UserWarning, "f.py", 1, module="lungscope.data")
