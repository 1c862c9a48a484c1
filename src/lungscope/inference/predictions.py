"""What the graph computes for a number of images, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lungscope.inference.result import ImageResult


@dataclass(frozen=True)
class Predictions:
    """Outputs of the graph for N images, rows in the order asked for."""

    probabilities: NDArray[np.float32]
    """(N, K), calibrated; rows sum to 1."""
    logits: NDArray[np.float32]
    """(N, K), before calibration."""
    heatmaps: NDArray[np.float32] | None = None
    """(N, K, h, w), Grad-CAM, at least 0."""
    embeddings: NDArray[np.float32] | None = None
    """(N, D), pooled features."""
    distances: NDArray[np.float32] | None = None
    """(N,), squared Mahalanobis distance per dimension from the training images; None without an input check."""
    checks: NDArray[np.float32] | None = None
    """(N, C), probabilities of how the image lies, named in the card's input check."""

    @staticmethod
    def of(results: Sequence[ImageResult]) -> "Predictions":
        """The outputs behind the results of images that were all read; at least one."""
        distances = [each.distance for each in results]
        return Predictions(
            np.array([each.probabilities for each in results], np.float32),
            np.array([each.logits for each in results], np.float32),
            _rows([each.heatmaps for each in results]),
            _rows([each.embedding for each in results]),
            None if distances[0] is None else np.array(distances, np.float32),
            _rows([each.checks for each in results]),
        )

    @staticmethod
    def join(parts: "Sequence[Predictions]") -> "Predictions":
        """One after the other; at least one part."""
        columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Predictions)}
        return Predictions(**{name: np.concatenate(each) for name, each in columns.items() if each[0] is not None})


def _rows(arrays: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    kept = [array for array in arrays if array is not None]
    return np.stack(kept) if kept else None
