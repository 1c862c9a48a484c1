"""Cross-entropy with class weights, label smoothing or the focal factor."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Loss:
    """A loss over logits of K classes. Two logits (-z/2, z/2) make it binary cross-entropy of one output z."""

    weights: Tensor
    """(K,), weight of each class."""
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    """0 is plain cross-entropy; above, easy examples count less (Lin et al. 2017)."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Weighted mean over a batch: logits (N, K), labels (N,) → scalar."""
        if self.focal_gamma:
            return self.total(logits, labels) / self.weight_of(labels)
        return functional.cross_entropy(logits, labels, self.weights, label_smoothing=self.label_smoothing)

    def total(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Weighted sum over a batch, for a mean over several parts of it."""
        weights, smoothing = self.weights, self.label_smoothing
        if not self.focal_gamma:
            return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing, reduction="sum")
        entropy = functional.cross_entropy(logits, labels, reduction="none")
        return (weights[labels] * (1 - torch.exp(-entropy)).pow(self.focal_gamma) * entropy).sum()

    def weight_of(self, labels: Tensor) -> Tensor:
        """Sum of the weights of labels (N,), by which a total becomes a mean."""
        return self.weights[labels].sum()

    def to(self, device: torch.device) -> "Loss":
        """The same loss on a device."""
        return replace(self, weights=self.weights.to(device))
