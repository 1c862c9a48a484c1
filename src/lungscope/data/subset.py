"""Part of the training patients, so that a smaller part lies within every larger one."""

import math

import numpy as np
from numpy.typing import NDArray

from lungscope.data.manifest import Manifest
from lungscope.errors import DataError
from lungscope.stats.patients import patient_index


def part_of_training(manifest: Manifest, fraction: float, seed: int = 0) -> Manifest:
    """Keep a fraction of the training patients of every class; validation and test stay whole.

    Patients stand in an order that the seed draws, the same for every fraction, and the first of them are
    kept: what a tenth learns from is part of what a quarter learns from.

    Args:
        manifest: with its splits assigned.
        fraction: above 0, at most 1.
        seed: of the order.

    Raises:
        DataError: the fraction is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise DataError(f"{fraction:g} is no part of the training patients. Give one above 0 and at most 1.")
    training = np.array([each == "train" for each in manifest.splits])
    if fraction == 1 or not training.any():
        return manifest
    kept = ~training
    kept[np.flatnonzero(training)[_first(manifest.select(np.flatnonzero(training)), fraction, seed)]] = True
    return manifest.select(np.flatnonzero(kept))


def _first(training: Manifest, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Rows of the first patients of every class; a patient of several counts for the first in the table."""
    index = patient_index(training.patients)
    _, row = np.unique(index, return_index=True)
    own = training.labels[row]
    order = np.random.default_rng(seed).permutation(own.size)
    chosen = np.zeros(own.size, np.bool_)
    for k in np.unique(own):
        of_class = order[own[order] == k]
        chosen[of_class[: math.ceil(fraction * of_class.size)]] = True
    rows: NDArray[np.bool_] = chosen[index]
    return rows
