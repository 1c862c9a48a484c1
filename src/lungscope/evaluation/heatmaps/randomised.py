"""Whether heat maps depend on what was learned: the same pictures through a model whose weights are shuffled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata

from lungscope.evaluation.heatmaps.cases import HeatCases, mean_estimate
from lungscope.evaluation.heatmaps.shuffle import shuffle_weights
from lungscope.inference.overlay import enlarge
from lungscope.inference.predictor import Predictor
from lungscope.stats.estimate import Array, Estimate

STAGES = ((0.0, "the head"), (0.25, "and the last quarter of the layers"), (1.0, "and all layers"))
"""Share of the layers below the head, and its name."""
DRAWS = 2
"""Shufflings of every stage."""
SIDE = 64
"""Of the maps between which structural similarity is computed."""
SIGMA, RADIUS = 1.5, 5
K1, K2 = 0.01, 0.03


@dataclass(frozen=True)
class Similarity:
    """How alike two sets of maps are, 1 for the same."""

    name: str
    spearman: Estimate
    """Mean rank correlation over the cells of a map."""
    ssim: Estimate
    """Mean structural similarity of the maps as drawn (Wang et al. 2004)."""


@dataclass(frozen=True)
class Randomisation:
    """Maps of the model against those of its shuffled versions."""

    images: int
    stages: tuple[Similarity, ...]
    """The last layers first, each with those before (Adebayo et al. 2018)."""
    other: Similarity | None
    """Against the map of the next image: how alike maps are anyway. None for a single image."""


def randomise(cases: HeatCases, predictor: Predictor, seed: int) -> Randomisation:
    """Compare the heat maps of a model with those of its shuffled versions.

    Args:
        cases: N images, N above 0.
        predictor: of the model.
        seed: of the shuffling.

    Raises:
        BundleError: the graph's weights cannot be found.
    """
    heat, engine = cases.heat(cases.called), predictor.engine
    stages = []
    for share, name in STAGES:
        drawn = []
        for draw in range(DRAWS):
            bundle = shuffle_weights(predictor.bundle, share, seed + draw)
            shuffled = Predictor(bundle, runtime=engine.runtime, precision=engine.precision, threads=predictor.threads)
            maps = shuffled.predict(cases.pixels).heatmaps
            if maps is not None:
                drawn.append(maps[np.arange(len(cases)), cases.called])
        stages.append(_similarity(name, [heat] * len(drawn), drawn, cases.patients))
    neighbours = np.roll(heat, 1, axis=0)
    alike = _similarity("another image", [heat], [neighbours], cases.patients) if len(cases) > 1 else None
    return Randomisation(len(cases), tuple(stages), alike)


def spearman(a: NDArray[np.float32], b: NDArray[np.float32]) -> Array:
    """(N,), rank correlation of maps (N, h, w) cell by cell; 0 where one of them is the same everywhere."""
    ranked = [rankdata(each.reshape(len(each), -1), axis=1) for each in (a, b)]
    centred = [each - each.mean(axis=1, keepdims=True) for each in ranked]
    norms = [np.sqrt((each**2).sum(axis=1)) for each in centred]
    product = (centred[0] * centred[1]).sum(axis=1)
    scale = norms[0] * norms[1]
    correlation: Array = np.divide(product, scale, out=np.zeros(len(a)), where=scale > 0)
    return correlation


def structural_similarity(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """SSIM of two pictures (H, W) within 0..1, over Gaussian windows (Wang et al. 2004)."""
    mean_a, mean_b = _window(a), _window(b)
    variance_a, variance_b = _window(a * a) - mean_a**2, _window(b * b) - mean_b**2
    covariance = _window(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + K1**2) / (mean_a**2 + mean_b**2 + K1**2)
    structure = (2 * covariance + K2**2) / (variance_a + variance_b + K2**2)
    inner = slice(RADIUS, -RADIUS)  # windows that do not reach over the edge
    return float((luminance * structure)[inner, inner].mean())


def _window(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = ndimage.gaussian_filter(picture, SIGMA, radius=RADIUS)
    return smooth


def _similarity(
    name: str, a: list[NDArray[np.float32]], b: list[NDArray[np.float32]], patients: tuple[str, ...]
) -> Similarity:
    """Means over draws, image by image."""
    ranked = np.mean([spearman(one, two) for one, two in zip(a, b, strict=True)], axis=0)
    alike = np.mean([_structural(one, two) for one, two in zip(a, b, strict=True)], axis=0)
    return Similarity(name, mean_estimate(ranked, patients, signed=True), mean_estimate(alike, patients, signed=True))


def _structural(a: NDArray[np.float32], b: NDArray[np.float32]) -> Array:
    """(N,), of the maps as they are drawn."""
    pairs = ([enlarge(each, (SIDE, SIDE)).astype(np.float64) for each in pair] for pair in zip(a, b, strict=True))
    return np.array([structural_similarity(one, two) for one, two in pairs])
