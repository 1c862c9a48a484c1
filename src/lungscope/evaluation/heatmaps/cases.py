"""Images with the heat map of what the model called them: what every check of heat maps measures on."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lungscope.inference.overlay import enlarge
from lungscope.stats.estimate import Array, Estimate, Ratio
from lungscope.stats.metrics import Weights
from lungscope.stats.resampling import estimate

GRID = 100
"""Side on which places are measured, so that a tenth of the picture is a whole number of points."""
EMPTY = "no image"


@dataclass(frozen=True)
class HeatCases:
    """N images, each with its class as called and the heat that speaks for it."""

    pixels: NDArray[np.uint8] = field(repr=False)
    """(N, S, S)."""
    probabilities: NDArray[np.float32] = field(repr=False)
    """(N, K), calibrated."""
    heatmaps: NDArray[np.float32] = field(repr=False)
    """(N, K, h, w), as the graph gives them."""
    patients: tuple[str, ...] = field(repr=False)
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def called(self) -> NDArray[np.int64]:
        """(N,), the likeliest class."""
        likeliest: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return likeliest

    def heat(self, of: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, h, w), the map of the class `of` (N,) on each image."""
        return self.heatmaps[np.arange(len(self)), of]

    def select(self, rows: NDArray[np.int64]) -> "HeatCases":
        """The images at these indices, in their order."""
        return HeatCases(
            np.ascontiguousarray(self.pixels[rows]),
            self.probabilities[rows],
            self.heatmaps[rows],
            tuple(self.patients[row] for row in rows),
            self.classes,
        )


def draw(groups: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Indices of at most `size` rows at random, as many of each group (N,) as there are, ascending."""
    rng = np.random.default_rng(seed)
    queues = [rng.permutation(np.flatnonzero(groups == each)) for each in np.unique(groups)]
    turns = [(turn, k, row) for k, queue in enumerate(queues) for turn, row in enumerate(queue)]
    return np.array(sorted(int(row) for _, _, row in sorted(turns)[:size]), np.int64)


def shares(heatmaps: NDArray[np.float32], size: int = GRID) -> NDArray[np.float32]:
    """Maps (N, h, w) as they are drawn over a picture of `size`, each summing to 1 or all zero: (N, size, size)."""
    drawn = np.stack([enlarge(each, (size, size)) for each in heatmaps])
    total = drawn.sum(axis=(1, 2), keepdims=True)
    spread: NDArray[np.float32] = np.divide(drawn, total, out=np.zeros_like(drawn), where=total > 0)
    return spread


def mean_estimate(values: Array, patients: tuple[str, ...], *, signed: bool = False, empty: str = EMPTY) -> Estimate:
    """Mean of values (N,) with its 95 % interval from drawing patients; they are shares, or else `signed`."""
    if not len(values):
        return Estimate(None, reason=empty)

    def mean(weights: Weights | None) -> Ratio:
        if weights is None:
            return float(values.mean())
        average: Ratio = (weights @ values) / weights.sum(axis=-1)
        return average

    found = estimate(mean, patients, shares=not signed)
    if values.min() == values.max():  # rounding in the draws would leave an interval of no width
        return Estimate(found.value, reason="no interval: every image gives the same")
    return found
