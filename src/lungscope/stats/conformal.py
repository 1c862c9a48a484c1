"""Prediction sets that miss the true class no more often than asked: split conformal prediction, per class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import ConfigError
from lungscope.stats.columns import class_indices

ERROR_RATES = tuple(round(0.01 * i, 2) for i in range(1, 31))
"""Error rates for which a bundle keeps thresholds."""


@dataclass(frozen=True)
class Conformal:
    """Probability from which a class is in the set, for each error rate and class."""

    error_rates: tuple[float, ...]
    """Ascending."""
    thresholds: tuple[tuple[float, ...], ...]
    """(A, K); 0 where too few images of a class were there to promise so low a rate."""
    images: tuple[int, ...]
    """(K,), of each class, on which they were found."""

    def at(self, error_rate: float) -> tuple[float, ...]:
        """Thresholds (K,) of the largest kept error rate not above the one asked for, else `ConfigError`."""
        first, last = self.error_rates[0], self.error_rates[-1]
        if not first <= error_rate <= last:
            raise ConfigError(
                f"Error rate {error_rate:g} is not kept. Choose one from {first:g} to {last:g}, such as 0.1."
            )
        place = sum(rate <= error_rate + 1e-9 for rate in self.error_rates) - 1
        return self.thresholds[place]

    def sets(self, probabilities: ArrayLike, error_rate: float) -> NDArray[np.bool_]:
        """Which classes (N, K) cannot be ruled out by calibrated probabilities (N, K); at least the likeliest of each.

        The error rate is the share of images of a class whose set may miss it.
        """
        columns = np.asarray(probabilities, np.float64)
        kept: NDArray[np.bool_] = columns >= np.array(self.at(error_rate))
        kept[np.arange(len(columns)), columns.argmax(1)] = True
        return kept


def quantile(scores: ArrayLike, share: float) -> float:
    """Smallest bound that a further score, exchangeable with N given ones, keeps with probability `share`.

    It is the ⌈(N + 1) · share⌉-th smallest score (Vovk, Gammerman & Shafer 2005); infinite where N is too small.
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    # The product of decimals is not exact: 20 · 0.95 is 19, not a hair more.
    place = math.ceil((ordered.size + 1) * share - 1e-9)
    return float(ordered[max(place, 1) - 1]) if 0 < ordered.size >= place else math.inf


def fit_conformal(labels: ArrayLike, probabilities: ArrayLike, error_rates: Sequence[float] = ERROR_RATES) -> Conformal:
    """Thresholds from images that the model was not fitted to (Sadinle, Lei & Wasserman 2019, per class).

    For every class, at most the given share of its new images have a set without it, provided that they are
    exchangeable with these. Several images of one patient are not: the promise then holds only about as well
    as the images stand for patients.

    Args:
        labels: (N,), class indices.
        probabilities: (N, K).
        error_rates: ascending, 0..1.
    """
    columns = np.asarray(probabilities, np.float64)
    truth = class_indices(labels, columns.shape[1])
    own = [columns[truth == k, k] for k in range(columns.shape[1])]
    thresholds = tuple(tuple(float(max(-quantile(-scores, 1 - rate), 0.0)) for scores in own) for rate in error_rates)
    return Conformal(tuple(error_rates), thresholds, tuple(len(scores) for scores in own))
