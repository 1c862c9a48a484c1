"""Where heat has no business: the outer tenth, the corners, letters and wires; and what decisions owe to them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lungscope.evaluation.heatmaps.cases import GRID, HeatCases, mean_estimate, shares
from lungscope.inference.predictor import Predictor
from lungscope.stats.estimate import Array, Estimate
from lungscope.stats.proportion import proportion

BORDER, CORNER = 0.1, 0.2
"""Widths as shares of a side."""
STROKE = 1 / 32
"""Widest stroke of a letter, as a share of a side."""
BRIGHTER = 60
"""Grey levels, of 255, by which a letter or wire stands out from what lies around it; ribs do not."""
BORDER_NAME, CORNERS_NAME, MARKS_NAME = "outer tenth", "corners", "letters and wires"
CORNER_NAMES = ("upper left", "upper right", "lower left", "lower right")


@dataclass(frozen=True)
class RegionEstimates:
    """One place on the images called one class."""

    name: str
    area: float
    """Mean share of the picture, which is the share of a uniform map's heat."""
    heat: Estimate
    """Mean share of the heat."""
    changed: Estimate
    """Share of images called another class once the place is smoothed away."""
    loss: Estimate
    """Mean fall of the probability of the class called, once it is."""


@dataclass(frozen=True)
class ClassRegions:
    """Places on the images called one class."""

    name: str
    images: int
    regions: tuple[RegionEstimates, ...]
    corners: tuple[Estimate, ...]
    """Mean share of the heat in each corner, as in `CORNER_NAMES`."""


def measure_regions(cases: HeatCases, predictor: Predictor) -> tuple[ClassRegions, ...]:
    """Measure every place for every class that was called."""
    called = cases.called
    heat = shares(cases.heat(called))
    found = [
        _Place(BORDER_NAME, _fixed(border, cases), _fixed(border, cases, GRID)),
        _Place(CORNERS_NAME, _fixed(corners, cases), _fixed(corners, cases, GRID)),
        _place_of_marks(cases),
    ]
    after = [predictor.predict(erase(cases.pixels, each.fine), heatmaps=False).probabilities for each in found]
    return tuple(
        ClassRegions(
            name=name,
            images=int((called == k).sum()),
            regions=tuple(
                _estimates(cases, np.flatnonzero(called == k), heat, each, now)
                for each, now in zip(found, after, strict=True)
            ),
            corners=tuple(
                _heat_inside(cases, np.flatnonzero(called == k), heat, each[None]) for each in single_corners(GRID)
            ),
        )
        for k, name in enumerate(cases.classes)
        if (called == k).any()
    )


@dataclass(frozen=True)
class _Place:
    name: str
    fine: NDArray[np.bool_]
    """(N, S, S), as pixels."""
    coarse: NDArray[np.bool_]
    """(N, GRID, GRID), as heat is measured."""


def border(size: int) -> NDArray[np.bool_]:
    """(size, size), the frame of a tenth of a side on every side."""
    frame = np.ones((size, size), bool)
    width = max(1, round(BORDER * size))
    frame[width:-width, width:-width] = False
    return frame


def single_corners(size: int) -> NDArray[np.bool_]:
    """(4, size, size), squares of a fifth of a side, as in `CORNER_NAMES`."""
    side = max(1, round(CORNER * size))
    squares = np.zeros((4, size, size), bool)
    squares[0, :side, :side] = squares[1, :side, -side:] = True
    squares[2, -side:, :side] = squares[3, -side:, -side:] = True
    return squares


def corners(size: int) -> NDArray[np.bool_]:
    """(size, size), all four."""
    every: NDArray[np.bool_] = np.logical_or.reduce(single_corners(size))
    return every


def marks(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(N, S, S), thin bright strokes with sharp edges: burnt-in letters, side markers, wires (white top-hat)."""
    size = pixels.shape[1]
    stroke = max(3, round(STROKE * size)) | 1
    opened = ndimage.grey_opening(pixels, (1, stroke, stroke))
    bright: NDArray[np.bool_] = pixels.astype(np.int16) - opened > BRIGHTER
    grown: NDArray[np.bool_] = ndimage.maximum_filter(bright, (1, 3, 3))
    return grown


def erase(pixels: NDArray[np.uint8], places: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Put the median of the surroundings in place of what is there, so that nothing small or sharp is left.

    Args:
        pixels: (N, S, S).
        places: (N, S, S), what is replaced.
    """
    size = pixels.shape[1]
    tiles = 10
    edges = np.linspace(0, size, tiles + 1).round().astype(int)
    smooth = np.empty((len(pixels), tiles, tiles), np.uint8)
    for row in range(tiles):
        for column in range(tiles):
            tile = pixels[:, edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
            smooth[:, row, column] = np.median(tile.reshape(len(pixels), -1), axis=1)
    filled = [np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BILINEAR)) for each in smooth]
    return np.where(places, np.stack(filled), pixels)


def _fixed(shape: Callable[[int], NDArray[np.bool_]], cases: HeatCases, size: int | None = None) -> NDArray[np.bool_]:
    side = size or cases.pixels.shape[1]
    return np.broadcast_to(shape(side), (len(cases), side, side))


def _place_of_marks(cases: HeatCases) -> _Place:
    fine = marks(cases.pixels)
    coarse = [
        np.asarray(Image.fromarray(each.astype(np.uint8) * 255).resize((GRID, GRID), Image.Resampling.BILINEAR))
        for each in fine
    ]
    return _Place(MARKS_NAME, fine, np.stack(coarse) > 127)


def _estimates(
    cases: HeatCases, rows: NDArray[np.int64], heat: NDArray[np.float32], place: _Place, after: NDArray[np.float32]
) -> RegionEstimates:
    of = cases.called[rows]
    before, now = cases.probabilities[rows, of], after[rows, of]
    patients = tuple(cases.patients[row] for row in rows)
    return RegionEstimates(
        name=place.name,
        area=float(place.coarse[rows].mean()),
        heat=_heat_inside(cases, rows, heat, place.coarse),
        changed=proportion(after[rows].argmax(axis=1) != of, patients),
        loss=mean_estimate((before - now).astype(np.float64), patients, signed=True),
    )


def _heat_inside(
    cases: HeatCases, rows: NDArray[np.int64], heat: NDArray[np.float32], places: NDArray[np.bool_]
) -> Estimate:
    """Mean over the images that have any heat."""
    inside: Array = (heat * places).sum(axis=(1, 2), dtype=np.float64)[rows]
    warm = heat.max(axis=(1, 2))[rows] > 0
    patients = tuple(cases.patients[row] for row in rows[warm])
    return mean_estimate(inside[warm], patients, empty="every heat map is empty")
