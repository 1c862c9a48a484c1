"""JPEG, PNG, TIFF and BMP → an 8-bit grey picture."""

from io import BytesIO
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFile, JpegImagePlugin, PngImagePlugin

from lungscope.data.images.grey import GreyPicture, check_pixels, grey_range, mute_libraries, ramp, to_grey
from lungscope.errors import LungscopeError, UnreadableImage, UnsupportedImage

ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 274, 258, 262, 339
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what brings the picture upright."""
TURNED = "turned by EXIF"
SAMPLE = 4_000_000
"""Values, evenly spaced, from which the range of a 32-bit picture is found."""
PATCHES, TINT = 64, 5.0
"""Colour is sampled on a grid of so many points a side; the most by which it may vary there in a radiograph.

Chroma (Cb, Cr) of 8 bits: 0 in a grey picture saved as colour and near 0 in a tinted scan, 8 to 47 in photographs.
"""
FAINT = 64
"""A 16-bit colour picture below this, of 255, uses fewer than 14 bits: too few remain of its upper 8."""


def raster_kind(head: bytes) -> str:
    """The format by its first bytes: "JPEG", "PNG", "TIFF", "BMP" or ""."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    return "BMP" if head.startswith(b"BM") else ""


def read_raster(data: bytes, kind: str, name: str, size: int | None) -> GreyPicture:
    """Decode a file of one of these formats.

    16-bit and floating-point grey is mapped by `grey.grey_range`. Colour becomes luma (ITU-R BT.601) and
    transparency shows black. A JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves at least 1.5 × `size`.

    Args:
        data: the whole file.
        kind: as `raster_kind` gave it.
        name: of the file, for messages.
        size: side of the square it will be shrunk to; None for all pixels.

    Raises:
        UnreadableImage: damaged, or larger than the limits.
        UnsupportedImage: intact, but of a kind that cannot be shown faithfully.
    """
    try:
        return _read(data, kind, name, size)
    except LungscopeError:
        raise
    except Exception as error:  # on damaged input the decoders raise whatever they please
        reason = " ".join(str(error).split())
        if "cannot handle" in reason or "unknown pixel mode" in reason:
            message = f"{name}: this kind of {kind} is not read ({reason}). Save it as 8 or 16-bit grey PNG."
            raise UnsupportedImage(message) from None
        message = f"{name}: the {kind} is damaged ({reason or type(error).__name__}). Copy or export it again."
        raise UnreadableImage(message) from None


def _read(data: bytes, kind: str, name: str, size: int | None) -> GreyPicture:
    # Only metadata beyond the plain header makes Pillow warn; most JPEGs have none.
    if kind != "JPEG" or data.find(b"Exif\0", 0, 2**20) >= 0:
        mute_libraries()
    image = _open(data, kind)
    width, height = image.size
    check_pixels(width, height, name)
    bits, notes = _bits(image, data, kind), _notes(image)
    box = _draft(image, size) if kind == "JPEG" else None
    image.load()
    foreign = "a picture in colour" if _colourful(image) else ""
    grey, further = _to_grey(image, bits, name)
    orientation = _orientation(image)
    if orientation > 1:
        further.append(TURNED)
    if orientation >= 5:
        width, height = height, width
    turn = TURNS.get(orientation)
    return GreyPicture(grey, width, height, bits, (*notes, *further), box, turn, foreign=foreign)


def _open(data: bytes, kind: str) -> ImageFile.ImageFile:
    # The format's own class: Image.open tries others too, and warns by a limit that is global.
    if kind == "JPEG":
        return JpegImagePlugin.JpegImageFile(BytesIO(data))
    if kind == "PNG":
        # Decoding does not look at the checksums of the pixels.
        PngImagePlugin.PngImageFile(BytesIO(data)).verify()
        return PngImagePlugin.PngImageFile(BytesIO(data))
    if kind == "TIFF":
        from PIL.TiffImagePlugin import TiffImageFile

        return TiffImageFile(BytesIO(data))
    from PIL.BmpImagePlugin import BmpImageFile

    return BmpImageFile(BytesIO(data))


def _bits(image: ImageFile.ImageFile, data: bytes, kind: str) -> int:
    if kind == "PNG":
        return data[24]  # IHDR
    if kind == "TIFF":
        return int(_tag(image, BITS_PER_SAMPLE, (1,))[0])
    return 1 if image.mode == "1" else 8


def _tag(image: ImageFile.ImageFile, tag: int, default: Any = None) -> Any:
    return image.tag_v2.get(tag, default) if image.format == "TIFF" else default  # type: ignore[attr-defined]


def _notes(image: ImageFile.ImageFile) -> list[str]:
    notes = []
    if image.mode in ("P", "PA"):
        notes.append("palette to grey")
    elif image.mode in ("RGB", "RGBA", "RGBa", "CMYK", "YCbCr"):
        notes.append("colour to grey")
    if getattr(image, "is_animated", False):
        notes.append("first of several pages")
    if _tag(image, ORIENTATION, 1) > 1:
        notes.append(TURNED)  # by Pillow, while it loads
    return notes


def _draft(image: ImageFile.ImageFile, size: int | None) -> tuple[float, float, float, float] | None:
    # 1.5 × size: mean difference to full decoding 0.2 grey levels (worst radiograph 0.6), and 1.7 times as fast.
    # Luma is the same with the chroma beside it, which only files in colour have.
    mode = "L" if image.mode == "L" else "YCbCr"
    drafted = image.draft(mode, (size + size // 2,) * 2 if size else None)
    return drafted[1] if drafted and size else None


def _colourful(image: ImageFile.ImageFile) -> bool:
    if image.mode not in ("RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "P", "PA"):
        return False
    points = image.resize((PATCHES, PATCHES), Image.Resampling.NEAREST)
    if points.mode != "YCbCr":
        points = points.convert("RGB").convert("YCbCr")
    # The deviation is at most half the range, and in a grey picture the range is next to nothing.
    _, *chroma = cast(tuple[tuple[int, int], ...], points.getextrema())
    if all(high - low <= 2 * TINT for low, high in chroma):
        return False
    return float(np.asarray(points)[..., 1:].std((0, 1)).max()) > TINT


def _orientation(image: ImageFile.ImageFile) -> int:
    if "exif" not in image.info or image.format == "TIFF":
        return 1
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # the picture is intact without its metadata
        return 1
    return orientation if orientation in TURNS else 1


def _to_grey(image: ImageFile.ImageFile, bits: int, name: str) -> tuple[Image.Image, list[str]]:
    if image.mode.startswith(("I", "F")):
        return _stretched(image)
    notes = []
    if not image.has_transparency_data:
        grey = image if image.mode == "L" else image.convert("L")
    else:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        grey = ImageChops.multiply(rgba.convert("L"), alpha)
        if alpha.getextrema() != (255, 255):
            notes.append("transparent parts are black")
    if bits == 16:
        if np.asarray(grey).max() < FAINT:
            raise UnsupportedImage(
                f"{name}: 16-bit colour that uses few of its bits cannot be read faithfully. Save it as 16-bit grey."
            )
        notes.append("upper 8 of 16 bits")
    return grey, notes


def _stretched(image: ImageFile.ImageFile) -> tuple[Image.Image, list[str]]:
    pixels = np.asarray(image)
    if pixels.dtype == np.int32 and _tag(image, SAMPLE_FORMAT, (1,))[0] == 1:
        pixels = pixels.view(np.uint32)  # Pillow has no unsigned mode of 32 bits
    if pixels.itemsize == 2:
        codes, stored = pixels.astype(np.uint16, copy=False), np.arange(65536, dtype=np.float64)
        low, high = grey_range(stored, np.bincount(codes.ravel(), minlength=65536))
        grey = to_grey(ramp(stored, low, high)).take(codes)
    else:
        low, high = grey_range(*_sample(pixels))
        finite = np.nan_to_num(pixels.astype(np.float64), nan=low, posinf=high, neginf=low)
        grey = to_grey(ramp(finite, low, high))
    notes = [f"{low:g} to {high:g} shown as black to white"]
    if _tag(image, PHOTOMETRIC) == 0:  # Pillow turns white-is-zero round for up to 8 bits only
        grey, notes = 255 - grey, [*notes, "white-is-zero inverted"]
    return Image.fromarray(grey), notes


def _sample(pixels: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    # Sorting a hundred million values would need gigabytes.
    some = pixels.ravel()[:: max(1, pixels.size // SAMPLE)].astype(np.float64)
    some = some[np.isfinite(some)] if np.isfinite(some).any() else np.zeros(1)
    return some, np.ones(some.size, np.int64)
