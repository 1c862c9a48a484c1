"""Heat maps over radiographs. NumPy and Pillow only: `predict --heatmaps` draws them."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OPACITY = 0.45
LEVELS = 256
FULL_COVER = 0.6
"""Share of the map's maximum from which a colour covers with the whole opacity."""
# Ends of the ramp in OKLCh: lightness, chroma, hue in degrees. Dark violet over red to light amber.
_COLD = (0.42, 0.20, 300.0)
_HOT = (0.90, 0.18, 450.0)


def overlay(pixels: NDArray[np.uint8], heatmap: NDArray[np.floating], *, opacity: float = OPACITY) -> NDArray[np.uint8]:
    """Draw a heat map over a radiograph so that the anatomy stays visible.

    Heat is divided by the map's own maximum: colours tell where the evidence lies, not how strong it is,
    and cannot be compared between images. A colour covers the more the hotter it is, and nothing is drawn
    where there is no heat.

    Args:
        pixels: (H, W).
        heatmap: (h, w), at least 0; its corners are the corners of the radiograph. Enlarged bicubically.
        opacity: 0..1, of the hottest spot.

    Returns:
        (H, W, 3), sRGB. The plain radiograph when the map is zero everywhere.
    """
    grey = np.repeat(pixels[:, :, None], 3, axis=2)
    heat = enlarge(heatmap, (pixels.shape[0], pixels.shape[1]))
    if not heat.any():
        return grey
    level = (heat * (LEVELS - 1) + 0.5).astype(np.uint8)
    # One table entry per level of heat: full radiographs are large.
    cover = (opacity * np.minimum(np.linspace(0, 1, LEVELS) / FULL_COVER, 1.0)).astype(np.float32)
    paint = colour_ramp() * cover[:, None] + 0.5
    blend = np.take(paint, level, axis=0)
    blend += (pixels * np.take(1 - cover, level))[:, :, None]
    return blend.astype(np.uint8)


def enlarge(heatmap: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring a heat map (h, w), at least 0, to a picture's shape (H, W): 0..1 by its own maximum; zero stays zero."""
    peak = float(heatmap.max())
    if not peak > 0:
        return np.zeros(shape, np.float32)
    height, width = shape
    unit = Image.fromarray((heatmap / peak).astype(np.float32))
    # Bicubic interpolation overshoots beside steep slopes.
    enlarged: NDArray[np.float32] = np.asarray(unit.resize((width, height), Image.Resampling.BICUBIC))
    return enlarged.clip(0.0, 1.0)


@cache
def colour_ramp() -> NDArray[np.float32]:
    """(256, 3) sRGB, 0..255: even steps in lightness and hue as perceived (OKLab, Ottosson 2020)."""
    lightness, chroma, hue = np.linspace(_COLD, _HOT, LEVELS).T
    a, b = chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))
    cones = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    mixing = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(mixing @ cones**3, 0.0, 1.0).T
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    ramp: NDArray[np.float32] = (255 * encoded).astype(np.float32)
    ramp.flags.writeable = False  # one table serves all callers
    return ramp
