"""The epochs of a training run, read back from its `history.csv`."""

import csv
import io
from dataclasses import dataclass

from lungscope.errors import DataError

COLUMNS = ("phase", "epoch", "train_loss", "validation_loss", "validation_auroc")


@dataclass(frozen=True)
class TrainingEpoch:
    """What one epoch of one phase came to."""

    phase: str
    epoch: int
    train_loss: float
    validation_loss: float
    validation_auroc: float


def parse_history(text: str) -> tuple[TrainingEpoch, ...]:
    """Read the content of a `history.csv`; further columns are left out.

    Raises:
        DataError: a column is missing, or a cell is no number.
    """
    try:
        return tuple(_epoch(row) for row in csv.DictReader(io.StringIO(text)))
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"history.csv needs the columns {', '.join(COLUMNS)} with numbers. Train the run again."
        ) from None


def _epoch(row: dict[str, str]) -> TrainingEpoch:
    train_loss, validation_loss, validation_auroc = (float(row[name]) for name in COLUMNS[2:])
    return TrainingEpoch(row["phase"], int(row["epoch"]), train_loss, validation_loss, validation_auroc)
