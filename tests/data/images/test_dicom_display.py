import numpy as np
import pytest
from pydicom import Dataset
from pydicom.pixels import apply_voi_lut, apply_windowing

from lungscope.data.images.dicom_display import display


def header(**elements):
    dataset = Dataset()
    dataset.update(
        {"PhotometricInterpretation": "MONOCHROME2", "BitsStored": 12, "BitsAllocated": 16, "PixelRepresentation": 0}
    )
    dataset.set_original_encoding(False, True)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def lut(data, first=0, bits=8):
    item = Dataset()
    item.set_original_encoding(False, True)
    item.LUTDescriptor = [len(data) % 65536, first, bits]
    item.LUTData = list(data)
    return [item]


def shown(dataset, pixels):
    return display(dataset, np.asarray(pixels))[0]


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


# The examples of PS3.3 C.11.2.1.2.1 and C.11.2.1.3.2, with an output range of 0..255.
@pytest.mark.parametrize(
    ("function", "centre", "width", "low", "high", "formula"),
    [
        ("LINEAR", 2048, 4096, 0, 4095, lambda x: ((x - 2047.5) / 4095 + 0.5) * 255),
        ("LINEAR", 2048, 1, 2047.5, 2047.5, None),
        ("LINEAR", 0, 100, -50, 49, lambda x: ((x + 0.5) / 99 + 0.5) * 255),
        ("LINEAR", 0, 1, -0.5, -0.5, None),
        ("LINEAR_EXACT", 2048, 4096, 0, 4096, lambda x: ((x - 2048) / 4096 + 0.5) * 255),
        ("LINEAR_EXACT", 2048, 1, 2047.5, 2048.5, lambda x: ((x - 2048) / 1 + 0.5) * 255),
        ("LINEAR_EXACT", 0, 100, -50, 50, lambda x: (x / 100 + 0.5) * 255),
    ],
)
def test_a_window_is_that_of_the_standard(function, centre, width, low, high, formula):
    stored = np.arange(-2048, 4097, dtype=np.int16).reshape(1, -1)
    dataset = header(
        PixelRepresentation=1, BitsStored=16, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function
    )
    x = stored.astype(float)
    inside = formula(x) if formula else np.zeros_like(x)
    expected = np.where(x <= low, 0.0, np.where(x > high, 255.0, inside))
    assert np.abs(shown(dataset, stored) - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2.5, -1024)])
def test_a_window_after_rescaling_agrees_with_pydicom(function, slope, intercept):
    dataset = header(
        WindowCenter=[1500, 7], WindowWidth=[900, 7], VOILUTFunction=function,
        RescaleSlope=slope, RescaleIntercept=intercept,
    )  # fmt: skip
    top, bottom = 4095 * slope + intercept, intercept
    reference = apply_windowing(RAMP * slope + intercept, dataset)
    expected = (reference - bottom) / (top - bottom) * 255
    assert np.abs(shown(dataset, RAMP) - expected).max() <= 0.5 + 1e-6


def test_the_first_of_several_windows_is_named():
    dataset = header(WindowCenter=[600, 40], WindowWidth=[1200, 400])
    assert display(dataset, RAMP)[1] == ("window 600/1200",)


def test_a_sigmoid_far_from_its_centre_neither_warns_nor_overflows():
    dataset = header(WindowCenter=2000, WindowWidth=0.5, VOILUTFunction="SIGMOID")
    assert set(np.unique(shown(dataset, RAMP))) <= {0, 128, 255, *range(256)}
    assert shown(dataset, RAMP)[0, 0] == 0
    assert shown(dataset, RAMP)[-1, -1] == 255


def test_a_voi_lut_comes_before_a_window_and_agrees_with_pydicom():
    table = (4095 * (np.arange(4096) / 4095) ** 2).astype(int)
    dataset = header(VOILUTSequence=lut(table, bits=12), WindowCenter=10, WindowWidth=20)
    expected = apply_voi_lut(RAMP, dataset) / 4095 * 255
    grey, notes = display(dataset, RAMP)
    assert np.abs(grey - expected).max() <= 0.5
    assert notes == ("VOI LUT",)


def test_a_voi_lut_of_4096_entries_of_8_bits_does_not_wrap_round():
    dataset = header(VOILUTSequence=lut(np.arange(4096) // 16))
    np.testing.assert_array_equal(shown(dataset, RAMP), RAMP // 16)


def test_a_voi_lut_that_overstates_its_bits_still_reaches_white():
    dataset = header(VOILUTSequence=lut(np.arange(4096), bits=16))
    assert shown(dataset, RAMP)[-1, -1] == 255


def test_values_outside_of_a_lut_take_its_nearest_entry():
    dataset = header(VOILUTSequence=lut([10, 20, 255], first=100))
    np.testing.assert_array_equal(
        shown(dataset, np.array([[0, 100, 101, 102, 4000]], np.uint16)), [[10, 10, 20, 255, 255]]
    )


@pytest.mark.parametrize("little", [True, False])
def test_lut_data_in_bytes_follow_the_byte_order_of_the_file(little):
    item = lut([0])
    item[0].LUTDescriptor = [3, 0, 16]
    item[0].LUTData = np.array([0, 100, 200], "<u2" if little else ">u2").tobytes()
    dataset = header(VOILUTSequence=item)
    dataset.set_original_encoding(False, little)
    np.testing.assert_array_equal(shown(dataset, np.array([[0, 1, 2]], np.uint16)), [[0, 128, 255]])


def test_a_modality_lut_comes_before_the_window():
    dataset = header(ModalityLUTSequence=lut([300, 200, 100, 0], bits=16), WindowCenter=150.5, WindowWidth=301)
    np.testing.assert_array_equal(shown(dataset, np.array([[0, 1, 2, 3]], np.uint16)), [[255, 170, 85, 0]])


def test_a_negative_first_value_written_as_unsigned_is_negative():
    dataset = header(
        PixelRepresentation=1, BitsStored=16, VOILUTSequence=lut([0, 50, 100, 200], first=65536 - 2, bits=16)
    )
    np.testing.assert_array_equal(shown(dataset, np.array([[-2, -1, 0, 1]], np.int16)), [[0, 64, 128, 255]])


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2000, "WindowWidth": 1000}])
def test_monochrome1_of_complemented_values_is_the_same_picture(window):
    two, notes_two = display(header(**window), RAMP)
    one, notes_one = display(
        header(PhotometricInterpretation="MONOCHROME1", **{**window, **({"WindowCenter": 2096} if window else {})}),
        4095 - RAMP,
    )
    np.testing.assert_array_equal(one, two)
    assert "MONOCHROME1 inverted" in notes_one
    assert "MONOCHROME1 inverted" not in notes_two


def test_inverse_shape_inverts_once_also_together_with_monochrome1():
    plain = shown(header(), RAMP)
    np.testing.assert_array_equal(shown(header(PresentationLUTShape="INVERSE"), RAMP), 255 - plain)
    both = header(PresentationLUTShape="INVERSE", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(shown(both, RAMP), 255 - plain)
    np.testing.assert_array_equal(shown(header(PresentationLUTShape="IDENTITY"), RAMP), plain)


@pytest.mark.parametrize(("bits", "signed"), [(8, False), (8, True), (6, False)])
def test_up_to_8_bits_without_window_are_shown_as_they_are(bits, signed):
    base = -(2 ** (bits - 1)) if signed else 0
    stored = (np.arange(2**bits).reshape(4, -1) + base).astype(np.int8 if signed else np.uint8)
    grey, notes = display(header(BitsStored=bits, PixelRepresentation=int(signed)), stored)
    np.testing.assert_array_equal(grey, np.rint((stored.astype(float) - base) * 255 / (2**bits - 1)))
    assert notes == (f"no window: all {bits} bits shown",)


def test_8_signed_bits_in_words_of_16_are_shown_in_full():
    stored = np.arange(-128, 128, dtype=np.int16).reshape(1, -1)
    grey = shown(header(BitsStored=8, PixelRepresentation=1), stored)
    np.testing.assert_array_equal(grey, stored + 128)


def test_more_bits_without_window_are_stretched_and_the_note_says_so():
    pixels = np.linspace(700, 3300, 10_000).astype(np.uint16).reshape(100, 100)
    grey, notes = display(header(), pixels)
    assert notes == ("no window: 700 to 3300 shown as black to white",)
    assert np.abs(grey - (pixels - 700.0) / 2600 * 255).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("unusable", [{"WindowCenter": 0, "WindowWidth": 0}, {"WindowCenter": 40, "WindowWidth": None}])
def test_a_window_without_width_counts_as_none(unusable):
    grey, notes = display(header(**unusable), RAMP)
    np.testing.assert_array_equal(grey, shown(header(), RAMP))
    assert notes[0].startswith("no window")


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_plays_no_part_in_the_range(photometric):
    pixels = np.linspace(1000, 2000, 10_000).astype(np.uint16).reshape(100, 100)
    padded = pixels.copy()
    padded[:30] = 4095
    padded[0, 0] = 4090
    dataset = header(PhotometricInterpretation=photometric, PixelPaddingValue=4095, PixelPaddingRangeLimit=4090)
    grey, notes = display(dataset, padded)
    assert (grey[:30] == 0).all()
    assert "no window: 1300 to 2000 shown as black to white" in notes
    assert grey[30:].max() == 255


def test_padding_written_with_the_wrong_sign_is_still_found():
    pixels = np.array([[-2000, 0, 500, 1000]], np.int16)
    dataset = header(
        PixelRepresentation=1, BitsStored=16, PixelPaddingValue=65536 - 2000, WindowCenter=-500, WindowWidth=3000
    )
    assert shown(dataset, pixels)[0, 0] == 0
    assert shown(dataset, pixels)[0, 1] > 150


def test_nothing_but_padding_is_black():
    assert (shown(header(PixelPaddingValue=7), np.full((4, 4), 7, np.uint16)) == 0).all()


def test_colour_becomes_luma():
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]]], np.uint8)
    grey, notes = display(header(BitsStored=8, PhotometricInterpretation="RGB"), rgb)
    np.testing.assert_array_equal(grey, [[76, 150, 29, 90]])  # 0.299, 0.587, 0.114 of 255
    assert notes == ("colour to grey",)
    wide = display(header(BitsStored=16, PhotometricInterpretation="RGB"), rgb.astype(np.uint16) * 257)[0]
    np.testing.assert_array_equal(wide, grey)


@pytest.mark.parametrize(("entry_bits", "word"), [(16, 257), (8, 1), (8, 257)])
def test_palettes_of_any_width_are_looked_up(entry_bits, word):
    dataset = header(BitsStored=8, PhotometricInterpretation="PALETTE COLOR")
    for colour, value in (("Red", 200), ("Green", 100), ("Blue", 50)):
        table = np.array([0, value, 255], np.uint16) * word
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [3, 10, entry_bits])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table.astype("<u2").tobytes())
    grey, notes = display(dataset, np.array([[10, 11, 12, 99]], np.uint8))
    np.testing.assert_array_equal(grey, [[0, 124, 255, 255]])  # 0.299·200 + 0.587·100 + 0.114·50
    assert notes == ("palette to grey",)
