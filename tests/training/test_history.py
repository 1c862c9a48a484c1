import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from lungscope.config.settings import FinetuneSettings
from lungscope.errors import TrainingDiverged
from lungscope.training.history import Epoch, Progress, history_csv, validate
from lungscope.training.loss import Loss


def row(epoch: int, loss: float = 0.5, accuracy: float = 0.8, auroc: float = 0.9) -> Epoch:
    return Epoch("finetune", epoch, 0.4, 0.9, loss, accuracy, auroc, 1e-3, 1.0)


def progress(**settings: object) -> Progress:
    return Progress(FinetuneSettings(epochs=20, patience=2, **settings))


def epochs_until_stop(found: Progress, rows: list[Epoch]) -> int:
    for n, item in enumerate(rows, 1):
        found.add(item)
        if found.exhausted:
            return n
    return 0


@pytest.mark.parametrize(("keep", "best"), [("loss", 2), ("accuracy", 3), ("auroc", 1)])
def test_the_kept_epoch_is_the_best_by_the_chosen_figure(keep: str, best: int) -> None:
    found = progress(keep=keep)
    rows = [row(1, 0.5, 0.7, 0.95), row(2, 0.3, 0.8, 0.9), row(3, 0.4, 0.9, 0.9)]
    kept = [found.add(item) for item in rows]
    assert found.best is not None
    assert found.best.epoch == best
    assert kept[best - 1]


def test_among_equal_epochs_the_one_of_lower_loss_is_kept() -> None:
    found = progress(keep="accuracy")
    assert [found.add(item) for item in (row(1, 0.5), row(2, 0.4), row(3, 0.45))] == [True, True, False]


@pytest.mark.parametrize(("monitor", "stops"), [("loss", 0), ("accuracy", 3), ("auroc", 4), ("both", 3)])
def test_training_stops_by_the_monitored_figure(monitor: str, stops: int) -> None:
    rows = [
        row(1, 0.5, 0.80, 0.90), row(2, 0.4, 0.79, 0.91), row(3, 0.3, 0.79, 0.90), row(4, 0.2, 0.79, 0.90),
        row(5, 0.1, 0.79, 0.90),
    ]  # fmt: skip
    assert epochs_until_stop(progress(monitor=monitor), rows) == stops


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_naming_epoch_and_remedy(value: float) -> None:
    with pytest.raises(TrainingDiverged, match=r"epoch 3 of phase 'finetune'.*learning_rate=1e-05"):
        progress().add(row(3, loss=value))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_validation_figures_are_scikit_learns(n_classes: int) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(50, n_classes), np.arange(50) % n_classes
    loss, accuracy, auroc = validate(logits, labels, Loss(torch.ones(n_classes)))
    p = logits.double().softmax(1).numpy()
    assert loss == pytest.approx(log_loss(labels, p), rel=1e-5)
    assert accuracy == accuracy_score(labels, p.argmax(1))
    expected = (
        roc_auc_score(labels, p[:, 1])
        if n_classes == 2
        else roc_auc_score(labels, p, multi_class="ovr", average="macro")
    )
    assert auroc == pytest.approx(expected)


def test_the_history_is_a_csv_with_accuracy_beside_loss() -> None:
    lines = history_csv([row(1)]).splitlines()
    assert lines[0].split(",")[:7] == [
        "phase", "epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "validation_auroc",
    ]  # fmt: skip
    assert lines[1].startswith("finetune,1,0.4,0.9,0.5,0.8,0.9")
