"""Whether the hot places decide: probabilities while they are taken away, or brought back (Petsiuk et al. 2018).

What is taken away is replaced by the same place of a picture that the model calls otherwise, the most similar one
of another patient. Blurring, the usual choice, does not do here: a blurred chest looks hazy, and haze is disease.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.evaluation.heatmaps.cases import HeatCases, mean_estimate
from lungscope.inference.overlay import enlarge
from lungscope.inference.predictor import Predictor
from lungscope.stats.estimate import Array, Estimate

STEPS = 8
THUMB = 16
"""Side of the reduced pictures by which similar ones are found."""
Order = Literal["heat map", "random map", "centre"]
ORDERS: tuple[Order, ...] = ("heat map", "random map", "centre")


@dataclass(frozen=True)
class OrderEstimates:
    """Curves of one order in which places are taken, means over the images."""

    order: Order
    deletion: tuple[float, ...]
    """Probability of the class called when the first 0, 1/STEPS, ... 1 of the picture is replaced."""
    insertion: tuple[float, ...]
    """The same when they are all that is left of it, in the other picture."""
    deletion_area: Estimate
    """Area under the curve; lower is better."""
    insertion_area: Estimate
    """Higher is better."""


@dataclass(frozen=True)
class HeatCurves:
    """The heat map's order beside two that have not seen the picture."""

    images: int
    orders: tuple[OrderEstimates, ...]
    """As in `ORDERS`."""
    over_random: Estimate
    """Insertion less deletion area, heat map's less the random map's, image by image; above 0 is better."""
    over_centre: Estimate


def trace_curves(cases: HeatCases, others: NDArray[np.uint8], predictor: Predictor, seed: int) -> HeatCurves:
    """Trace both curves of every order on every image.

    The random map has as many cells as the heat map and is drawn as smoothly, so that both replace patches of the
    same kind; the centre is a Gaussian, since disease lies off the border.

    Args:
        cases: N images, N above 0.
        others: (N, S, S), what stands in for each; see `stand_ins`.
        predictor: of the model.
        seed: of the random maps.
    """
    rng = np.random.default_rng(seed)
    heat = cases.heat(cases.called)
    maps: dict[Order, NDArray[np.float32]] = {
        "heat map": heat,
        "random map": rng.random(heat.shape, np.float32),
        "centre": np.broadcast_to(_centre(cases.pixels.shape[1]), (len(cases), *cases.pixels.shape[1:])),
    }
    traced = [_trace(cases, predictor, others, maps[order]) for order in ORDERS]
    gains = [_area(insertion) - _area(deletion) for deletion, insertion in traced]
    return HeatCurves(
        images=len(cases),
        orders=tuple(_estimates(order, *curves, cases.patients) for order, curves in zip(ORDERS, traced, strict=True)),
        over_random=mean_estimate(gains[0] - gains[1], cases.patients, signed=True),
        over_centre=mean_estimate(gains[0] - gains[2], cases.patients, signed=True),
    )


def stand_ins(cases: HeatCases, rows: NDArray[np.int64], pool: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of `rows` the most similar image of `pool` that is called otherwise and of another patient.

    Args:
        cases: N images.
        rows: (n,), indices.
        pool: (m,), indices.

    Returns:
        (n,), indices; -1 where there is none.
    """
    reduced = {int(i): _thumb(cases.pixels[i]) for i in {*rows, *pool}}
    called, patients = cases.called, cases.patients
    found = np.full(len(rows), -1)
    for at, row in enumerate(rows):
        fit = [i for i in pool if called[i] != called[row] and patients[i] != patients[row]]
        if fit:
            gaps = [float(((reduced[int(i)] - reduced[int(row)]) ** 2).mean()) for i in fit]
            found[at] = fit[int(np.argmin(gaps))]
    return found


def _thumb(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(Image.fromarray(pixels).resize((THUMB, THUMB), Image.Resampling.BOX), np.float64)


def ranks(heat: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """(size, size), 0 for the hottest point up to nearly 1 for the coldest; ties from the upper left on."""
    flat = enlarge(heat, (size, size)).ravel()
    order = np.argsort(-flat, kind="stable")
    rank = np.empty(flat.size)
    rank[order] = np.arange(flat.size) / flat.size
    return rank.reshape(size, size)


def _trace(
    cases: HeatCases, predictor: Predictor, others: NDArray[np.uint8], maps: NDArray[np.float32]
) -> tuple[Array, Array]:
    """Deletion and insertion, each (N, STEPS + 1)."""
    rank = np.stack([ranks(each, cases.pixels.shape[1]) for each in maps])
    deletion, insertion = [], []
    for step in range(STEPS + 1):
        first = rank < step / STEPS
        # Both curves at once: every core then has something to do.
        pictures = np.concatenate([np.where(first, others, cases.pixels), np.where(first, cases.pixels, others)])
        found = predictor.predict(pictures, heatmaps=False).probabilities.astype(np.float64)
        own = found[np.arange(len(found)), np.tile(cases.called, 2)]
        deletion.append(own[: len(cases)])
        insertion.append(own[len(cases) :])
    return np.stack(deletion, axis=1), np.stack(insertion, axis=1)


def _area(curves: Array) -> Array:
    """(N,), trapezoids under curves (N, STEPS + 1) over 0..1."""
    area: Array = np.asarray(np.trapezoid(curves, dx=1 / STEPS, axis=1))
    return area


def _estimates(order: Order, deletion: Array, insertion: Array, patients: tuple[str, ...]) -> OrderEstimates:
    return OrderEstimates(
        order,
        tuple(float(each) for each in deletion.mean(axis=0)),
        tuple(float(each) for each in insertion.mean(axis=0)),
        mean_estimate(_area(deletion), patients),
        mean_estimate(_area(insertion), patients),
    )


def _centre(size: int) -> NDArray[np.float32]:
    """(size, size), a Gaussian whose standard deviation is a quarter of a side."""
    place = (np.arange(size) + 0.5) / size - 0.5
    bell = np.exp(-0.5 * (place / 0.25) ** 2)
    return np.outer(bell, bell).astype(np.float32)
