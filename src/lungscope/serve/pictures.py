"""Pictures of a prediction: the radiograph, its heat map as a layer, and both as one."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.data.images.radiograph import read_radiograph
from lungscope.inference.overlay import FULL_COVER, LEVELS, colour_ramp, enlarge

HEATMAP_SIDE = 768


def radiograph(content: bytes, max_side: int | None) -> NDArray[np.uint8]:
    """Pixels (H, W) of an upload, shrunk so that no side is longer than `max_side`.

    Raises:
        DataError: they cannot be read.
    """
    pixels = read_radiograph(content).pixels
    longest = max(pixels.shape)
    if max_side is None or longest <= max_side:
        return pixels
    size = (_scaled(pixels.shape[1], max_side / longest), _scaled(pixels.shape[0], max_side / longest))
    shrunk: NDArray[np.uint8] = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    return shrunk


def heat_layer(heatmap: NDArray[np.floating], width: int, height: int) -> bytes:
    """A heat map as RGBA PNG: opaque where hottest, transparent without heat.

    Args:
        heatmap: (h, w), at least 0; its corners are the corners of the radiograph.
        width: of the radiograph; the layer has its shape, at most `HEATMAP_SIDE` long.
        height: of the radiograph.
    """
    scale = min(1.0, HEATMAP_SIDE / max(width, height))
    heat = enlarge(heatmap.astype(np.float32), (_scaled(height, scale), _scaled(width, scale)))
    level = (heat * (LEVELS - 1) + 0.5).astype(np.uint8)
    cover = np.minimum(np.linspace(0, 1, LEVELS) / FULL_COVER, 1.0) * 255
    table = np.concatenate([colour_ramp(), cover[:, None]], axis=1).astype(np.uint8)
    return _png(Image.fromarray(table[level], "RGBA"))


def grey_png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W) as a PNG without any metadata."""
    return _png(Image.fromarray(pixels))


def _png(image: Image.Image) -> bytes:
    png = BytesIO()
    image.save(png, "PNG", compress_level=3)
    return png.getvalue()


def _scaled(side: int, scale: float) -> int:
    return max(1, round(side * scale))
