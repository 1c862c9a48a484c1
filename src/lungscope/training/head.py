"""First phase: the backbone is frozen and a regularised head learns on its features."""

import copy
import time
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungscope.config.settings import HeadSettings, MixSettings
from lungscope.networks.network import Head
from lungscope.system.progress import Bar
from lungscope.training.augment.mixup import draw_mixture, mix
from lungscope.training.history import Epoch, Progress, check_finite, validate
from lungscope.training.imbalance import Plan, batches, smote
from lungscope.training.loggers import Journal
from lungscope.training.optimizer import build_optimizer, build_schedule, rate, step


def train_head(
    head: Head,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    validation_features: NDArray[np.float32],
    validation_labels: NDArray[np.int64],
    *,
    settings: HeadSettings,
    plan: Plan,
    seed: int,
    mixing: MixSettings | None = None,
    fresh: Callable[[int], NDArray[np.float32]] | None = None,
    journal: Journal | None = None,
) -> tuple[Epoch, ...]:
    """Train `head` in place and keep its best epoch on validation.

    Args:
        head: fresh; its weights are replaced by the best ones.
        features: (V, N, C), pooled, of V views of the training images.
        labels: (N,).
        validation_features: (M, C), of the plain validation images.
        validation_labels: (M,).
        settings: epochs, rate, regularisation.
        plan: what is done about classes of unequal size.
        seed: order of the batches and dropout.
        mixing: how feature vectors are mixed (manifold mixup, Verma et al. 2019); not at all when not given.
        fresh: features (N, C) of the given epoch, from the second on; otherwise all views serve all epochs.
        journal: told of every epoch.

    Returns:
        One row per epoch.

    Raises:
        TrainingDiverged: the loss is no longer a number.
    """
    x = torch.from_numpy(features.reshape(-1, features.shape[-1]))
    y = torch.from_numpy(np.tile(labels, len(features)))
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    x = (x - mean) / deviation
    validation = (torch.from_numpy(validation_features) - mean) / deviation
    if plan.smote:
        x, y = smote(x, y, seed)

    mixing = (mixing or MixSettings()).model_copy(update={"cutmix": 0.0})  # which needs pixels
    torch.manual_seed(seed)
    optimizer = build_optimizer(head.parameters(), settings)
    schedule = build_schedule(optimizer, settings)
    progress = Progress(settings)
    best = copy.deepcopy(head.state_dict())
    with Bar("Head", settings.epochs, "epochs") as bar:
        for epoch in range(1, settings.epochs + 1):
            started, learning_rate = time.perf_counter(), rate(optimizer)
            if fresh is not None and epoch > 1:
                x = (torch.from_numpy(fresh(epoch)) - mean) / deviation
            fitted = _one_epoch(head, x, y, optimizer, settings, plan, mixing, epoch)
            found = validate(_logits(head, validation), validation_labels, plan.validation_loss)
            row = Epoch("head", epoch, *fitted, *found, learning_rate, time.perf_counter() - started)
            if progress.add(row):
                best = copy.deepcopy(head.state_dict())
            step(schedule, row.validation_loss)
            if journal is not None:
                journal.add(row)
            bar.advance(loss=row.train_loss, auroc=row.validation_auroc)
            if progress.exhausted:
                break
    head.load_state_dict(best)
    _fold_standardisation(head, mean, deviation)
    return tuple(progress.rows)


def _one_epoch(
    head: Head,
    x: Tensor,
    y: Tensor,
    optimizer: torch.optim.Optimizer,
    settings: HeadSettings,
    plan: Plan,
    mixing: MixSettings,
    epoch: int,
) -> tuple[float, float]:
    head.train()
    total, correct, seen = 0.0, 0, 0
    for rows in batches(y, settings.batch, plan.sampling):
        mixture = draw_mixture(len(rows), mixing)
        if mixture is None:
            logits = head(x[rows])
            loss = plan.loss(logits, y[rows])
        else:
            logits = head(mix(x, rows, rows[mixture.partner], mixture))
            other = y[rows[mixture.partner]]
            loss = mixture.share * plan.loss(logits, y[rows]) + (1 - mixture.share) * plan.loss(logits, other)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        value = float(loss.detach())
        check_finite(value, "head", epoch, settings)
        total, seen = total + value * len(rows), seen + len(rows)
        correct += int((logits.argmax(1) == y[rows]).sum())
    return total / seen, correct / seen


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
