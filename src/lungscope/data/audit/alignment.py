"""Laying one radiograph over another: which window of the first shows what the second shows, and how well they agree.

Cutting an edge off and squashing to a square again is a stretch and a shift along each axis. Both act on rows and
columns separately, so warping, filtering and shrinking are small matrix products, done for many pairs at once.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.float32]
"""(P, G, G), grey levels."""
Windows = NDArray[np.float32]
"""(P, 4): stretch and shift along x, then along y; a picture reaches from -1 to 1, and all 0 is the whole of it."""

WIDEST = 0.35
"""Stretch or shift beyond which two pictures count as different."""
LONGEST_STEP = 0.1
FLAT = 2.0
"""Grey levels of local contrast below which there is nothing to compare, such as in a collimated border."""


def shrink(pixels: NDArray[np.uint8], side: int) -> Pictures:
    """Mean grey level in each cell of a grid.

    Args:
        pixels: (P, S, S).
        side: cells along each axis, G.
    """
    return _blurred(pixels.astype(np.float32), _areas(pixels.shape[1], side))


def low_frequencies(pictures: Pictures, count: int) -> NDArray[np.float32]:
    """The first `count` cosines along each axis without the mean: (..., count² - 1)."""
    cosines = _blurred(pictures, _cosines(pictures.shape[-1], count))
    return cosines.reshape(*pictures.shape[:-2], count * count)[..., 1:]


def details(pictures: Pictures, blur: float, background: float) -> Pictures:
    """What is finer than `background` and coarser than `blur`, both standard deviations in cells."""
    side = pictures.shape[1]
    fine = _blurred(pictures, _gaussian(side, blur)) if blur else pictures
    return fine - _blurred(fine, _gaussian(side, background))


def tangents(pictures: Pictures) -> NDArray[np.float32]:
    """How a picture changes with each entry of its window: (P, 4, G, G)."""
    side = pictures.shape[1]
    down, across = np.gradient(pictures, axis=(1, 2))
    place = np.linspace(-1, 1, side, dtype=np.float32)
    changes: NDArray[np.float32] = np.stack([across * place, across, down * place[:, None], down], axis=1)
    changes *= (side - 1) / 2
    return changes


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (..., D) without their mean, of length 1; a constant one becomes 0."""
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return _single(centred / np.where(length > 1e-3, length, np.inf))


def register(moving: Pictures, fixed: Pictures, windows: Windows, scales: tuple[tuple[float, float], ...]) -> Windows:
    """Find the window of each `moving` picture that shows what `fixed` shows, by Gauss-Newton steps.

    The correlation is maximised, so brightness and contrast do not matter (Evangelidis & Psarakis 2008).

    Args:
        moving: (P, G, G).
        fixed: (P, G, G).
        windows: (P, 4), where to begin.
        scales: blur and background of `details`, one step each, the coarsest first.
    """
    for blur, background in scales:
        shown = details(_warp(moving, windows), blur, background)
        step = _step(shown, details(fixed, blur, background))
        windows = np.clip(_compose(windows, step), -WIDEST, WIDEST)
    return windows


def agreement(moving: Pictures, fixed: Pictures, windows: Windows, background: float = 3.0) -> NDArray[np.float32]:
    """Correlation of the finest details after local contrast is made equal: (P,), 1 for copies."""
    ours = _even(details(_warp(moving, windows), 0, background))
    theirs = _even(details(fixed, 0, background))
    products = unit(ours.reshape(len(ours), -1)) * unit(theirs.reshape(len(theirs), -1))
    found: NDArray[np.float32] = products.sum(axis=1)
    return found


def _step(shown: Pictures, fixed: Pictures) -> Windows:
    target = unit(fixed.reshape(len(fixed), -1))
    basis = np.concatenate([shown[:, None], tangents(shown)], axis=1).reshape(len(shown), 5, -1)
    basis -= basis.mean(axis=2, keepdims=True)
    basis /= np.linalg.norm(basis[:, :1], axis=2, keepdims=True) + 1e-3
    gram = basis @ basis.transpose(0, 2, 1)
    # Where a picture has no structure along an axis, nothing moves instead of everything.
    gram += 1e-3 * np.eye(5, dtype=np.float32) * (1 + np.trace(gram, axis1=1, axis2=2)[:, None, None] / 5)
    found = np.linalg.solve(gram, basis @ target[:, :, None])[:, :, 0]
    return np.clip(found[:, 1:] / np.maximum(found[:, :1], 0.3), -LONGEST_STEP, LONGEST_STEP)


def _compose(windows: Windows, step: Windows) -> Windows:
    stretch, shift = 1 + windows[:, ::2], windows[:, 1::2]
    composed = np.empty_like(windows)
    composed[:, ::2] = stretch * (1 + step[:, ::2]) - 1
    composed[:, 1::2] = stretch * step[:, 1::2] + shift
    return composed


def _warp(pictures: Pictures, windows: Windows) -> Pictures:
    side = pictures.shape[1]
    across = _sampling(side, windows[:, 0], windows[:, 1])
    down = _sampling(side, windows[:, 2], windows[:, 3])
    return _both_ways(down, pictures, across.transpose(0, 2, 1))


def _sampling(side: int, stretch: NDArray[np.float32], shift: NDArray[np.float32]) -> Pictures:
    """Linear interpolation as a matrix per pair; beyond the edge the outermost cell is repeated."""
    place = np.linspace(-1, 1, side, dtype=np.float32)
    cells = ((1 + stretch)[:, None] * place + shift[:, None] + 1) * ((side - 1) / 2)
    cells = np.clip(cells, 0, side - 1)[:, :, None]
    return _single(np.maximum(0, 1 - np.abs(cells - np.arange(side, dtype=np.float32))))


def _even(pictures: Pictures) -> Pictures:
    box = _box(pictures.shape[1], 9)
    return _single(pictures / np.sqrt(np.maximum(_blurred(pictures**2, box), 0) + FLAT**2))


def _blurred(pictures: Pictures, kernel: NDArray[np.float32]) -> Pictures:
    return _both_ways(kernel, pictures, kernel.T)


def _both_ways(rows: NDArray[np.float32], pictures: Pictures, columns: NDArray[np.float32]) -> Pictures:
    return _single(np.matmul(np.matmul(rows, pictures), columns))


def _single(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return values.astype(np.float32, copy=False)


@cache
def _cosines(side: int, count: int) -> NDArray[np.float32]:
    angle = np.pi * np.outer(np.arange(count), np.arange(side) + 0.5) / side
    return _single(np.cos(angle) * np.where(np.arange(count) > 0, 1, 0.5**0.5)[:, None])


@cache
def _gaussian(side: int, deviation: float) -> NDArray[np.float32]:
    distance = np.subtract.outer(np.arange(side), np.arange(side))
    weights = np.exp(-0.5 * (distance / deviation) ** 2)
    return _single(weights / weights.sum(axis=1, keepdims=True))


@cache
def _box(side: int, width: int) -> NDArray[np.float32]:
    distance = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    weights = (distance <= width // 2).astype(np.float64)
    return _single(weights / weights.sum(axis=1, keepdims=True))


@cache
def _areas(size: int, side: int) -> NDArray[np.float32]:
    edges, pixel = np.linspace(0, size, side + 1)[:, None], np.arange(size)
    overlap = np.minimum(pixel + 1, edges[1:]) - np.maximum(pixel, edges[:-1])
    weights = np.maximum(overlap, 0)
    return _single(weights / weights.sum(axis=1, keepdims=True))
