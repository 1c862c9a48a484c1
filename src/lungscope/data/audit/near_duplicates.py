"""Near-duplicates: the same exposure saved again, resized, brightened, slightly cut or mirrored.

Chest radiographs all look alike, so a perceptual hash alone pairs different patients. Here every picture is first held
against every other by its tangent distance (Simard et al. 1993), which small cuts hardly change; the likeliest are
laid over one another on finer and finer grids, and only those stay whose finest details agree, where ribs and
vessels of two exposures never lie alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungscope.data.audit.alignment import Windows, agreement, details, low_frequencies, register, shrink, tangents
from lungscope.system.parallel import blockwise

GRID, BLUR, BACKGROUND, COSINES = 24, 0.7, 2.5, 12
"""Of the coarse comparison: cells along each axis, what is filtered out, and cosines along each axis."""
NEIGHBOURS = {False: 2, True: 1}
"""Pictures that come nearest to each, and to its mirror image, and are looked at closely."""
LEAST_FIT = 0.6
"""Share of a coarse picture's variance that a window of the other must explain."""


@dataclass(frozen=True)
class _Sieve:
    """A grid of `side` cells, the steps of the registration on it, and the agreement that lets a pair through."""

    side: int
    steps: tuple[tuple[float, float], ...]
    least: float
    """0 lets all through."""


SIEVES = (
    _Sieve(24, ((1.2, 3.6), (0.7, 2.5)), 0.0),
    _Sieve(40, (), 0.75),
    _Sieve(40, ((1.0, 4.0), (0.7, 3.0), (0.7, 3.0)), 0.85),
    _Sieve(80, ((1.0, 4.0), (0.7, 3.0), (0.7, 3.0), (0.7, 3.0)), 0.94),
)
"""On the finest grid copies mostly reach 0.96, real exposures of one patient 0.81, phantoms 0.93; see docs/results."""


@dataclass(frozen=True)
class NearPair:
    """Two rows that show the same exposure, though not pixel by pixel."""

    first: int
    second: int
    agreement: float
    """Correlation of fine details after one is laid over the other; 1 is perfect."""
    mirrored: bool
    cut: float
    """Share of the larger picture's area that the smaller one lacks."""


@dataclass(frozen=True)
class _Candidates:
    moving: NDArray[np.int64]
    fixed: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    windows: Windows

    def __len__(self) -> int:
        return len(self.moving)

    def select(self, rows: NDArray[np.bool_] | slice) -> "_Candidates":
        return _Candidates(self.moving[rows], self.fixed[rows], self.mirrored[rows], self.windows[rows])


def near_duplicates(pixels: NDArray[np.uint8], rows: Sequence[int]) -> tuple[NearPair, ...]:
    """All pairs of near-duplicates among some rows.

    The comparison of all pairs is a few matrix products; its time grows with the square of their number (about
    1 s for 5,000 pictures on 2 cores), its memory does not.

    Args:
        pixels: (N, S, S), squashed to a square.
        rows: which of them to compare; of identical ones only one should be among them.

    Returns:
        Pairs with `first` < `second`, in the order of rows.
    """
    index = np.asarray(rows, dtype=np.int64)
    if len(index) < 2:
        return ()
    found, scores = _coarse(pixels, index), np.zeros(0, np.float32)
    for sieve in SIEVES:
        found, scores = _sieved(pixels, found, sieve)
    return _pairs(found, scores)


def _coarse(pixels: NDArray[np.uint8], index: NDArray[np.int64]) -> _Candidates:
    n, size = len(index), COSINES * COSINES - 1
    points, flipped = np.empty((n, size), np.float32), np.empty((n, size), np.float32)
    spans = np.empty((5, n, size), np.float32)

    def describe(block: slice) -> None:
        coarse = details(shrink(pixels[index[block]], GRID), BLUR, BACKGROUND)
        points[block] = _unit(low_frequencies(coarse, COSINES))
        flipped[block] = _unit(low_frequencies(coarse[:, :, ::-1], COSINES))
        spans[:, block] = _span(coarse)

    blockwise(describe, n, "Describing")
    plain = blockwise(lambda block: _nearest(spans, points, block, mirrored=False), n, "Comparing all pairs")
    turned = blockwise(lambda block: _nearest(spans, flipped, block, mirrored=True), n, "Comparing mirror images")
    moving, fixed, mirrored = (np.concatenate(column) for column in zip(*plain, *turned, strict=True))
    return _Candidates(index[moving], index[fixed], mirrored, np.zeros((len(moving), 4), np.float32))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(length > 1e-2, length, np.inf)).astype(np.float32, copy=False)


def _span(coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """An orthonormal basis of all that small changes of the window make of a picture: (5, P, D)."""
    changes = np.concatenate([coarse[:, None], tangents(coarse)], axis=1)
    basis = low_frequencies(changes, COSINES)
    orthonormal, upper = np.linalg.qr(basis.transpose(0, 2, 1))
    # A blank picture spans nothing.
    orthonormal *= np.abs(np.diagonal(upper, axis1=1, axis2=2))[:, None, :] > 1e-2
    return orthonormal.transpose(2, 0, 1)


def _nearest(
    spans: NDArray[np.float32], points: NDArray[np.float32], block: slice, *, mirrored: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """For each point of a block the pictures whose spans come nearest to it: moving, fixed, mirrored."""
    shown, own = points[block], np.arange(block.stop - block.start)
    fit = np.zeros((len(shown), spans.shape[1]), np.float32)
    for basis in spans:
        fit += (shown @ basis.T) ** 2
    fit[own, block.start + own] = 0
    moving, fixed = [], []
    for _ in range(min(NEIGHBOURS[mirrored], spans.shape[1] - 1)):
        nearest = fit.argmax(axis=1)
        near = np.flatnonzero(fit[own, nearest] >= LEAST_FIT)
        moving.append(nearest[near])
        fixed.append(block.start + near)
        fit[own, nearest] = 0
    pairs = np.concatenate(moving), np.concatenate(fixed)
    return *pairs, np.full(len(pairs[0]), mirrored)


def _sieved(
    pixels: NDArray[np.uint8], candidates: _Candidates, sieve: _Sieve
) -> tuple[_Candidates, NDArray[np.float32]]:
    """The candidates that agree on the sieve's grid, with their windows there and how well they agree."""
    windows, scores = candidates.windows.copy(), np.ones(len(candidates), np.float32)
    rows, place = np.unique([candidates.moving, candidates.fixed], return_inverse=True)
    small = np.empty((len(rows), sieve.side, sieve.side), np.float32)

    def reduce(block: slice) -> None:
        small[block] = shrink(pixels[rows[block]], sieve.side)

    def align(block: slice) -> None:
        moving, fixed = small[place[0, block]], small[place[1, block]]
        turned = candidates.mirrored[block]
        fixed[turned] = fixed[turned, :, ::-1]
        windows[block] = register(moving, fixed, windows[block], sieve.steps)
        if sieve.least:
            scores[block] = agreement(moving, fixed, windows[block])

    blockwise(reduce, len(rows), "Reducing")
    blockwise(align, len(candidates), f"Comparing likely copies at {sieve.side} px", "pairs")
    kept = scores >= sieve.least
    found = _Candidates(candidates.moving, candidates.fixed, candidates.mirrored, windows)
    return found.select(kept), scores[kept]


def _pairs(found: _Candidates, scores: NDArray[np.float32]) -> tuple[NearPair, ...]:
    best: dict[tuple[int, int], NearPair] = {}
    table = zip(found.moving.tolist(), found.fixed.tolist(), found.mirrored.tolist(), found.windows.tolist(),
                scores.tolist(), strict=True)  # fmt: skip
    for moving, fixed, mirrored, window, score in table:
        key = (min(moving, fixed), max(moving, fixed))
        area = (1 + window[0]) * (1 + window[2])
        if key not in best or best[key].agreement < score:
            best[key] = NearPair(*key, min(score, 1.0), mirrored, 1 - min(area, 1 / area))
    return tuple(best[key] for key in sorted(best))
