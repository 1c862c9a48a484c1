"""First phase: the backbone is frozen and a regularised head learns on its precomputed features."""

import copy
import time
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lungscope.config import HeadSettings
from lungscope.console import Bar
from lungscope.model.history import Epoch, Progress, validate
from lungscope.model.zoo import Head


def train_head(
    head: Head,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    validation_features: NDArray[np.float32],
    validation_labels: NDArray[np.int64],
    *,
    settings: HeadSettings,
    class_weights: Tensor,
    seed: int,
) -> tuple[Epoch, ...]:
    """Train `head` in place and keep the epoch of the highest validation AUROC.

    Args:
        head: fresh; its weights are replaced by the best ones.
        features: (V, N, C), pooled, of V views of the training images.
        labels: (N,).
        validation_features: (M, C), of the plain validation images.
        validation_labels: (M,).
        settings: epochs, rate, regularisation.
        class_weights: (K,), weight of each class in the loss.
        seed: order of the batches and dropout.

    Returns:
        One row per epoch.
    """
    x = torch.from_numpy(features.reshape(-1, features.shape[-1]))
    y = torch.from_numpy(np.tile(labels, len(features)))
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    x = (x - mean) / deviation
    validation = (torch.from_numpy(validation_features) - mean) / deviation

    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(
        head.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    progress = Progress(patience=settings.patience)
    best = copy.deepcopy(head.state_dict())
    with Bar("Head", settings.epochs, "epochs") as bar:
        for epoch in range(1, settings.epochs + 1):
            started, rate = time.perf_counter(), optimizer.param_groups[0]["lr"]
            train_loss = _one_epoch(head, x, y, optimizer, settings.batch, class_weights)
            schedule.step()
            loss, auroc = validate(_logits(head, validation), validation_labels, class_weights)
            row = Epoch("head", epoch, train_loss, loss, auroc, rate, time.perf_counter() - started)
            if progress.add(row):
                best = copy.deepcopy(head.state_dict())
            bar.advance(loss=train_loss, auroc=auroc)
            if progress.exhausted:
                break
    head.load_state_dict(best)
    _fold_standardisation(head, mean, deviation)
    return tuple(progress.rows)


def _one_epoch(
    head: Head, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer, batch: int, class_weights: Tensor
) -> float:
    head.train()
    total = 0.0
    for rows in torch.randperm(len(x)).split(batch):
        loss = functional.cross_entropy(head(x[rows]), y[rows], class_weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(x)


def _logits(head: Head, features: Tensor) -> Tensor:
    head.eval()
    with torch.inference_mode():
        out: Tensor = head(features)
    return out


def _fold_standardisation(head: Head, mean: Tensor, deviation: Tensor) -> None:
    """Make the head take features as the backbone gives them."""
    first = cast(nn.Linear, head.hidden[0]) if len(head.hidden) else head.output
    with torch.no_grad():
        first.weight.div_(deviation)
        first.bias.sub_(first.weight @ mean)
