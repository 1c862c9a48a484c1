"""What training writes down per epoch, and the choice of the best one by validation AUROC."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lungscope.stats.metrics import auroc


@dataclass(frozen=True)
class Epoch:
    """One row of `history.csv`."""

    phase: str
    epoch: int
    train_loss: float
    validation_loss: float
    validation_auroc: float
    learning_rate: float
    seconds: float


@dataclass
class Progress:
    """Epochs so far, which of them is the best, and whether to stop.

    The best epoch has the highest validation AUROC and, among equal ones, the lowest validation loss.
    """

    patience: int
    rows: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None

    def add(self, row: Epoch) -> bool:
        """Take a new epoch in and tell whether it is the best so far."""
        self.rows.append(row)
        if self.best is None or _merit(row) > _merit(self.best):
            self.best = row
            return True
        return False

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` epochs brought nothing better."""
        return self.best is not None and len(self.rows) - self.rows.index(self.best) > self.patience


def _merit(row: Epoch) -> tuple[float, float]:
    return (row.validation_auroc, -row.validation_loss)


def validate(logits: Tensor, labels: NDArray[np.int64], class_weights: Tensor) -> tuple[float, float]:
    """Loss and AUROC on validation images; with K > 2 classes the mean one-vs-rest AUROC.

    Args:
        logits: (M, K).
        labels: (M,).
        class_weights: (K,).
    """
    loss = functional.cross_entropy(logits.float(), torch.from_numpy(labels).to(logits.device), class_weights)
    n_classes = logits.shape[1]
    classes = [1] if n_classes == 2 else range(n_classes)
    # On the log-odds scale, where confident scores do not tie at 1.
    values = [float(auroc(labels == k, _log_odds(logits, k))) for k in classes]
    return float(loss), float(np.mean(values))


def _log_odds(logits: Tensor, k: int) -> NDArray[np.float64]:
    z = logits.double()
    others = [j for j in range(z.shape[1]) if j != k]
    odds: NDArray[np.float64] = (z[:, k] - z[:, others].logsumexp(1)).cpu().numpy()
    return odds


def history_csv(rows: Sequence[Epoch]) -> str:
    """The epochs as CSV text with a header."""
    text = io.StringIO()
    names = [column.name for column in fields(Epoch)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([getattr(row, name) for name in names])
    return text.getvalue()
