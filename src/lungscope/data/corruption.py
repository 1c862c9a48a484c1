"""Corruptions of stated severity, drawn from a seed: what other exposures, devices, crops and files do to a picture."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Corruption:
    """One change of a picture."""

    name: str
    severity: str
    """In the units of the change."""
    change: Callable[[Pixels, np.random.Generator], Pixels]
    """uint8 (H, W) → uint8 (H, W)."""


def corrupt(pixels: Pixels, corruption: Corruption, seed: int = 0) -> Pixels:
    """Change every image of uint8 (N, H, W); the i-th has its own stream of chance."""
    changed = np.empty_like(pixels)
    for i, image in enumerate(pixels):
        changed[i] = corruption.change(np.asarray(image), np.random.default_rng((seed, i)))
    return changed


def _curve(curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[..., Pixels]:
    table = (255 * np.clip(curve(np.linspace(0, 1, 256)), 0, 1)).round().astype(np.uint8)
    return lambda image, _: table[image]


def _blur(image: Pixels, _: np.random.Generator) -> Pixels:
    # In parts of the side, so that it means the same at every input size.
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(image.shape[0] / 100)))


def _coarse(image: Pixels, _: np.random.Generator) -> Pixels:
    height, width = image.shape
    small = Image.fromarray(image).resize((max(1, width // 3), max(1, height // 3)), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def _crop(image: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = image.shape
    y, x = rng.integers(0, height // 10 + 1), rng.integers(0, width // 10 + 1)
    part = image[y : y + round(0.9 * height), x : x + round(0.9 * width)]
    return np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR))


def _frame(image: Pixels, _: np.random.Generator) -> Pixels:
    height, width = image.shape
    small = Image.fromarray(image).resize((round(0.85 * width), round(0.85 * height)), Image.Resampling.BOX)
    framed = Image.new("L", (width, height))
    framed.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    return np.asarray(framed)


def _wider(image: Pixels, _: np.random.Generator) -> Pixels:
    height, width = image.shape
    narrow = image[:, width // 10 : width - width // 10]
    return np.asarray(Image.fromarray(narrow).resize((width, height), Image.Resampling.BILINEAR))


def _jpeg(image: Pixels, _: np.random.Generator) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=15)
    return np.asarray(Image.open(file))


def _noise(image: Pixels, rng: np.random.Generator) -> Pixels:
    noisy = image + rng.normal(0, 12, image.shape)
    return noisy.round().clip(0, 255).astype(np.uint8)


CORRUPTIONS = (
    Corruption("underexposed", "gamma 1.6", _curve(lambda x: x**1.6)),
    Corruption("overexposed", "gamma 0.6", _curve(lambda x: x**0.6)),
    Corruption("darker", "brightness × 0.7", _curve(lambda x: 0.7 * x)),
    Corruption("brighter", "brightness × 1.3", _curve(lambda x: 1.3 * x)),
    Corruption("less contrast", "contrast × 0.6", _curve(lambda x: 0.5 + 0.6 * (x - 0.5))),
    Corruption("more contrast", "contrast × 1.5", _curve(lambda x: 0.5 + 1.5 * (x - 0.5))),
    Corruption("blurred", "deviation 1 % of the side", _blur),
    Corruption("coarse", "a third of the resolution", _coarse),
    Corruption("cropped", "90 % of the side, anywhere", _crop),
    Corruption("framed", "85 % of the side in a black frame", _frame),
    Corruption("wider", "aspect × 1.25", _wider),
    Corruption("compressed", "JPEG quality 15", _jpeg),
    Corruption("noisy", "deviation 12 of 255", _noise),
)
