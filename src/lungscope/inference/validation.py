"""What a bundle keeps of its validation images: how thresholds trade, and what use is compared with later."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

CURVE_POINTS = 200
BINS = 10
SKETCH = 16
"""Numbers an embedding is reduced to."""


@dataclass(frozen=True)
class Curve:
    """Sensitivity and specificity on validation when positive means suspicion >= threshold."""

    thresholds: tuple[float, ...]
    """Ascending; the first calls every image positive and the last none."""
    sensitivity: tuple[float, ...]
    specificity: tuple[float, ...]
    positives: int
    negatives: int


@dataclass(frozen=True)
class Reference:
    """How suspicion and embeddings are distributed on validation."""

    n: int
    mean_suspicion: float
    shares: tuple[float, ...]
    """Of suspicion in `BINS` equal bins from 0 to 1."""
    sketch_mean: tuple[float, ...]
    """(SKETCH,), of the sketches of the embeddings."""
    sketch_deviation: tuple[float, ...]


@dataclass(frozen=True)
class Validation:
    """Both; no curve when no class is a reference."""

    curve: Curve | None
    reference: Reference


def summarise(
    suspicion: NDArray[np.floating], embeddings: NDArray[np.float32], positive: NDArray[np.bool_] | None
) -> Validation:
    """Reduce validation images to what is kept of them.

    Args:
        suspicion: (N,), 0..1.
        embeddings: (N, D).
        positive: (N,), true where diseased; None when no class is a reference.
    """
    sketches = sketch(embeddings)
    reference = Reference(
        n=len(suspicion),
        mean_suspicion=float(suspicion.mean()),
        shares=histogram(suspicion),
        sketch_mean=_rounded(sketches.mean(0)),
        sketch_deviation=_rounded(sketches.std(0)),
    )
    return Validation(None if positive is None else _curve(suspicion.astype(np.float32), positive), reference)


def histogram(suspicion: NDArray[np.floating]) -> tuple[float, ...]:
    """Share of images in each of `BINS` equal bins from 0 to 1."""
    counts, _ = np.histogram(suspicion, bins=BINS, range=(0, 1))
    return _rounded(counts / max(len(suspicion), 1))


def sketch(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce embeddings (N, D) to (N, SKETCH) by a fixed random projection, which keeps distances on average."""
    reduced: NDArray[np.float32] = embeddings @ _projection(embeddings.shape[1])
    return reduced


@cache
def _projection(dimensions: int) -> NDArray[np.float32]:
    # NumPy promises that the stream of RandomState never changes; bundles rely on it.
    directions = np.random.RandomState(0).standard_normal((dimensions, SKETCH))
    projection: NDArray[np.float32] = (directions / np.sqrt(SKETCH)).astype(np.float32)
    projection.flags.writeable = False
    return projection


def _curve(suspicion: NDArray[np.float32], positive: NDArray[np.bool_]) -> Curve:
    distinct = np.unique(suspicion)
    kept = distinct[np.linspace(0, len(distinct) - 1, min(len(distinct), CURVE_POINTS)).round().astype(int)]
    above = float(np.nextafter(np.float32(1), np.float32(2)))
    thresholds = np.array([0, *kept, above], np.float32)
    found, alarms = np.sort(suspicion[positive]), np.sort(suspicion[~positive])
    return Curve(
        thresholds=tuple(float(value) for value in thresholds),
        sensitivity=_rounded(1 - np.searchsorted(found, thresholds) / max(len(found), 1)),
        specificity=_rounded(np.searchsorted(alarms, thresholds) / max(len(alarms), 1)),
        positives=len(found),
        negatives=len(alarms),
    )


def _rounded(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
