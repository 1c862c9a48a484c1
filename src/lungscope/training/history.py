"""What training writes down per epoch, which epoch is kept, and when to stop."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungscope.config.settings import PhaseSettings
from lungscope.errors import TrainingDiverged
from lungscope.stats.metrics import auroc
from lungscope.training.loss import Loss


@dataclass(frozen=True)
class Epoch:
    """One row of `history.csv`."""

    phase: str
    epoch: int
    train_loss: float
    train_accuracy: float
    """Of the images as they were shown, while the weights still changed."""
    validation_loss: float
    validation_accuracy: float
    """Of the most probable class, under the class balance of the training."""
    validation_auroc: float
    learning_rate: float
    seconds: float


@dataclass
class Progress:
    """Epochs so far, which of them is the best, and whether to stop.

    Among epochs that are equal by AUROC or accuracy, the one of the lowest validation loss is the better.
    """

    settings: PhaseSettings
    rows: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None

    def add(self, row: Epoch) -> bool:
        """Take a new epoch in and tell whether its weights are to be kept.

        Raises:
            TrainingDiverged: its loss is not a number.
        """
        check_finite(row.train_loss + row.validation_loss, row.phase, row.epoch, self.settings)
        self.rows.append(row)
        if self.best is None or _merit(row, self.settings.keep) > _merit(self.best, self.settings.keep):
            self.best = row
            return True
        return False

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` epochs brought nothing better."""
        watched = ("loss", "accuracy") if self.settings.monitor == "both" else (self.settings.monitor,)
        return any(self._since_best(metric) > self.settings.patience for metric in watched)

    def _since_best(self, metric: str) -> int:
        merits = [_merit(row, metric) for row in self.rows]
        return len(merits) - merits.index(max(merits)) if merits else 0


def _merit(row: Epoch, metric: str) -> tuple[float, ...]:
    if metric == "loss":
        return (-row.validation_loss,)
    value = row.validation_auroc if metric == "auroc" else row.validation_accuracy
    return (value, -row.validation_loss)


def check_finite(loss: float, phase: str, epoch: int, settings: PhaseSettings) -> None:
    """Stop a training whose loss is no longer a number.

    Raises:
        TrainingDiverged: it is infinite or not a number.
    """
    if not np.isfinite(loss):
        raise TrainingDiverged(
            f"The loss became {loss} in epoch {epoch} of phase {phase!r}. Start again with a lower rate, say "
            f"--set {phase}.learning_rate={settings.learning_rate / 10:.0e}, and --force."
        )


def validate(logits: Tensor, labels: NDArray[np.int64], loss: Loss) -> tuple[float, float, float]:
    """Loss, accuracy and AUROC on validation images; with K > 2 classes the mean one-vs-rest AUROC.

    Args:
        logits: (M, K).
        labels: (M,).
        loss: that of the training, so that both curves show the same quantity.
    """
    y = torch.from_numpy(labels).to(logits.device)
    value = float(loss(logits.float(), y))
    accuracy = float((logits.argmax(1) == y).double().mean())
    if not bool(torch.isfinite(logits).all()):
        return float("nan"), accuracy, float("nan")
    n_classes = logits.shape[1]
    classes = [1] if n_classes == 2 else range(n_classes)
    # On the log-odds scale, where confident scores do not tie at 1.
    values = [float(auroc(labels == k, _log_odds(logits, k))) for k in classes]
    return value, accuracy, float(np.mean(values))


def _log_odds(logits: Tensor, k: int) -> NDArray[np.float64]:
    z = logits.double()
    others = [j for j in range(z.shape[1]) if j != k]
    odds: NDArray[np.float64] = (z[:, k] - z[:, others].logsumexp(1)).cpu().numpy()
    return odds


def history_csv(rows: Sequence[Epoch]) -> str:
    """The epochs as CSV text with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return text.getvalue()
