"""Pictures from wherever they are: files, bytes, arrays, Pillow. All go through the one reader."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.errors import DataError, UnsupportedImage

Picture = str | os.PathLike[str] | bytes | NDArray[Any] | Image.Image | Radiograph
"""What `read_image` and `Model.predict` take."""
DTYPES = (np.uint8, np.uint16, np.float32)


def read_image(source: Picture, *, size: int | None = None) -> Radiograph:
    """Read one picture as 8-bit grey, as training and prediction read it.

    Args:
        source: a JPEG, PNG, TIFF, BMP or DICOM file or its bytes; an array (H, W) or (H, W, 3) of uint8, (H, W) of
            uint16 or float32, air dark; or a picture of Pillow.
        size: side of the square that the picture is squashed to, antialiased; None keeps all pixels.

    Raises:
        UnreadableImage: missing, empty, damaged or too large.
        UnsupportedImage: intact but not a picture that is read here.
        DataError: a picture that was read at another size already.
    """
    if isinstance(source, Radiograph):
        if size is not None and source.pixels.shape != (size, size):
            shape = " × ".join(map(str, source.pixels.shape))
            raise DataError(f"The radiograph has {shape} pixels; read it with read_image(path, size={size}).")
        return source
    if isinstance(source, str | os.PathLike):
        return read_radiograph(Path(source), size=size)
    return read_radiograph(source if isinstance(source, bytes) else _encoded(source), size=size)


def _encoded(picture: NDArray[Any] | Image.Image) -> bytes:
    """The bytes of a lossless file, so that pictures in memory are read as files are."""
    if isinstance(picture, Image.Image):
        image, exif = picture, picture.getexif()
    elif isinstance(picture, np.ndarray):
        image, exif = _image(picture), Image.Exif()
    else:
        raise UnsupportedImage(
            f"{type(picture).__name__} is no picture. Give a path, the bytes of a file, an array or a Pillow image."
        )
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        image = image.convert("RGB")
    file = BytesIO()
    image.save(file, "TIFF" if image.mode == "F" else "PNG", exif=exif)
    return file.getvalue()


def _image(pixels: NDArray[Any]) -> Image.Image:
    grey, colour = pixels.ndim == 2, pixels.ndim == 3 and pixels.shape[2] == 3
    if not pixels.size or pixels.dtype not in DTYPES or not (grey or (colour and pixels.dtype == np.uint8)):
        raise UnsupportedImage(
            f"An array {pixels.shape} of {pixels.dtype} is not a picture. "
            "Give (H, W) of uint8, uint16 or float32, or (H, W, 3) of uint8."
        )
    return Image.fromarray(np.ascontiguousarray(pixels))
