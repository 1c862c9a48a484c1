"""The input check's part of the graph: distance from the training images, and how an image lies.

`training.input_check` fits its weights and says what they are.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class InputCheckWeights:
    """What the graph computes the input check's outputs from."""

    rounding: float
    centre: Array
    """(D,), mean of the spread embeddings."""
    directions: Array
    """(D, R), orthonormal, of largest variance first."""
    variances: Array
    """(R,), shrunk."""
    rest: float
    """Variance in every other direction."""
    slopes: Array
    """(C, R), of the checks on whitened directions."""
    offsets: Array
    """(C,)."""


class InputCheckTail(nn.Module):
    """Embedding → squared distance per dimension and probabilities of the checks."""

    def __init__(self, weights: InputCheckWeights) -> None:
        super().__init__()
        self.rounding, self.rest = weights.rounding, weights.rest
        arrays = {
            "centre": weights.centre,
            "whiten": weights.directions / np.sqrt(weights.variances),
            "excess": 1 - weights.variances / weights.rest,
            "slopes": weights.slopes.T,
            "offsets": weights.offsets,
        }
        for name, values in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values, np.float32)))

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """(N, D) → distance (N,), about 1 on training images, and checks (N, C)."""
        root = torch.sqrt(embedding.abs() + self.rounding) - self.rounding**0.5
        apart = torch.sign(embedding) * root - self.get_buffer("centre")
        scores = apart @ self.get_buffer("whiten")
        inside = (scores.square() * self.get_buffer("excess")).sum(1)
        distance = (inside + apart.square().sum(1) / self.rest) / embedding.shape[1]
        checks = torch.softmax(scores @ self.get_buffer("slopes") + self.get_buffer("offsets"), dim=1)
        return distance, checks
