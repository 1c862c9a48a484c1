"""Reading a run's history.csv back."""

import pytest

from lungscope.errors import DataError
from lungscope.reports.history import COLUMNS, TrainingEpoch, parse_history


def test_epochs_are_read_in_order_and_further_columns_left_out() -> None:
    text = f"{','.join(COLUMNS)},seconds\nhead,1,0.5,0.6,0.9,2\nfinetune,1,0.4,nan,0.95,9\n"
    first, second = parse_history(text)
    assert first == TrainingEpoch("head", 1, 0.5, 0.6, 0.9)
    assert (second.phase, second.validation_auroc) == ("finetune", 0.95)


def test_a_history_without_epochs_is_empty() -> None:
    assert parse_history("phase,epoch,train_loss,validation_loss,validation_auroc\n") == ()


@pytest.mark.parametrize(
    "text", ["phase,epoch\nhead,1\n", "phase,epoch,train_loss,validation_loss,validation_auroc\nhead,1,x,1,1\n"]
)
def test_a_history_that_does_not_fit_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(DataError, match="Train the run again"):
        parse_history(text)


def test_what_training_writes_is_read_back() -> None:
    history = pytest.importorskip("lungscope.training.history")
    epoch = history.Epoch("head", 3, 0.25, 0.9, 0.5, 0.8, 0.875, 1e-3, 1.5)
    assert parse_history(history.history_csv([epoch])) == (TrainingEpoch("head", 3, 0.25, 0.5, 0.875),)
