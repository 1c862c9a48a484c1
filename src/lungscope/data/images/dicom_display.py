"""From the stored values of a DICOM object to grey on a screen: PS3.3 C.7.6.3, C.7.9, C.11.1 and C.11.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.data.images.grey import grey_range, ramp, to_grey

if TYPE_CHECKING:  # only files that are DICOM pay for importing pydicom
    from pydicom import Dataset

COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True, eq=False)
class Shown:
    """What a window, a VOI LUT or, without them, the range of the pixels makes of the values."""

    fractions: NDArray[np.float64]
    """Of the way from black to white, per value; not clipped."""
    note: str


def display(header: Dataset, pixels: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Grey picture with air dark, and in plain words what was done.

    The chain is Modality LUT or rescale, the first VOI LUT or else the first window, inversion. Without
    VOI LUT and window, up to 8 bits are shown in full and more by `grey.grey_range`. Padding becomes black
    and plays no part in that range. Colour becomes luma.

    Args:
        header: with the elements of the Image Pixel, Modality LUT and VOI LUT modules.
        pixels: (H, W) stored values of 8 or 16 bits, signed or not, or (H, W, 3) RGB.
    """
    if pixels.ndim == 3:
        return _luma(pixels, header.BitsStored), ("colour to grey",)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        bits = header.RedPaletteColorLookupTableDescriptor[2]
        return _luma(_palette(header, pixels), bits), ("palette to grey",)
    return _monochrome(header, pixels)


def _luma(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if pixels.dtype.itemsize > 1:
        # Palette entries of 8 bits may lie in words of 16: in the lower byte, or in both.
        pixels = pixels >> (max(bits, int(pixels.max()).bit_length()) - 8)
    return np.asarray(Image.fromarray(pixels.astype(np.uint8)).convert("L"))


def _palette(header: Dataset, pixels: NDArray[Any]) -> NDArray[Any]:
    if "RedPaletteColorLookupTableData" not in header:
        from pydicom.pixels.processing import apply_color_lut

        return apply_color_lut(pixels, header)[..., :3]  # segmented
    prefixes = [f"{colour}PaletteColorLookupTable" for colour in COLOURS]
    tables = [(header[f"{p}Descriptor"].value, header[f"{p}Data"].value) for p in prefixes]
    return np.stack([_look_up(header, pixels, *table) for table in tables], axis=-1)


def _monochrome(header: Dataset, pixels: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    # All the way to the screen, grey is a function of the stored value, so it is worked out once per value.
    # The bits of a signed value, read as unsigned, are its place in the table.
    codes = pixels.view(f"u{pixels.itemsize}")
    stored = np.arange(256**pixels.itemsize).astype(codes.dtype).view(pixels.dtype)
    padding = _padding(header, stored)
    values = _modality(header, stored.astype(np.float64))
    shown = _voi_lut(header, values) or _window(header, values) or _unstated(header, values, codes, padding)
    inversion = _inversion(header)
    fractions = 1.0 - shown.fractions if inversion else shown.fractions
    table = np.where(padding, np.uint8(0), to_grey(fractions))
    return table.take(codes), tuple(note for note in (shown.note, inversion) if note)


def _padding(header: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    first = header.get("PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, np.bool_)
    last = header.get("PixelPaddingRangeLimit")
    # Writers disagree whether these are signed; their bits are what counts.
    ends = np.array([first, first if last is None else last], np.int64).astype(stored.dtype)
    return np.asarray((stored >= ends.min()) & (stored <= ends.max()))


def _modality(header: Dataset, stored: NDArray[np.float64]) -> NDArray[np.float64]:
    if header.get("ModalityLUTSequence"):
        lut = header.ModalityLUTSequence[0]
        return _look_up(header, stored, lut.LUTDescriptor, lut.LUTData).astype(np.float64)
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    return stored * (1.0 if slope is None else float(slope)) + float(intercept or 0.0)


def _look_up(header: Dataset, values: NDArray[Any], descriptor: Any, data: Any) -> NDArray[Any]:
    # Not pydicom's own, which in 3.0 wraps round after 256 entries where an entry has 8 bits.
    n, first, _ = descriptor
    n = n or 65536
    if isinstance(data, bytes):
        word = "<u2" if header.original_encoding[1] else ">u2"
        entries = np.frombuffer(data, np.uint8 if len(data) < 2 * n else word)
    else:
        entries = np.asarray(data)
    if first > 32767 and values.min() < 0:
        first -= 65536  # a negative value in an element written as unsigned
    found: NDArray[Any] = entries[:n].take(np.rint(values).astype(np.int64) - first, mode="clip")
    return found


def _voi_lut(header: Dataset, values: NDArray[np.float64]) -> Shown | None:
    if not header.get("VOILUTSequence"):
        return None
    lut = header.VOILUTSequence[0]
    entries = _look_up(header, values, lut.LUTDescriptor, lut.LUTData).astype(np.float64)
    # White is the table's own top, not its descriptor's: many state 16 bits and use 12.
    return Shown(ramp(entries, 0.0, float(entries.max())), "VOI LUT")


def _window(header: Dataset, values: NDArray[np.float64]) -> Shown | None:
    centre, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    if centre is None or width is None:
        return None
    function = header.get("VOILUTFunction") or "LINEAR"
    if width < 1 if function == "LINEAR" else width <= 0:
        return None  # not a window by C.11.2.1.2, though old archives are full of 0/0
    name = "window" if function == "LINEAR" else f"{function} window"
    return Shown(_windowed(values, centre, width, function), f"{name} {centre:g}/{width:g}")


def _first(value: Any) -> float | None:
    return None if value is None else float(np.ravel(value)[0])


def _windowed(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    if function == "SIGMOID":
        return 0.5 + 0.5 * np.tanh(2.0 * (values - centre) / width)  # the logistic without its overflow
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1.0) + 0.5


def _unstated(header: Dataset, values: NDArray[np.float64], codes: NDArray[Any], padding: NDArray[np.bool_]) -> Shown:
    bits = header.BitsStored
    if bits <= 8:
        half = 2 ** (bits - 1)
        possible = np.r_[values[:half], values[-half:] if header.PixelRepresentation else values[half : 2 * half]]
        low, high = float(possible.min()), float(possible.max())
        return Shown(ramp(values, low, high), f"no window: all {bits} bits shown")
    counts = np.where(padding, 0, np.bincount(codes.ravel(), minlength=values.size))
    low, high = grey_range(values, counts)
    return Shown(ramp(values, low, high), f"no window: {low:g} to {high:g} shown as black to white")


def _inversion(header: Dataset) -> str:
    if header.PhotometricInterpretation == "MONOCHROME1":
        return "MONOCHROME1 inverted"
    # With MONOCHROME1 it says the same once more (C.8.11.3), so the two are never combined.
    return "Presentation LUT Shape INVERSE" if header.get("PresentationLUTShape") == "INVERSE" else ""
