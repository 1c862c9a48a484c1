"""Second phase: every layer learns at a low rate; a checkpoint after each epoch survives a kill."""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from lungscope.config import Recipe
from lungscope.console import Bar
from lungscope.errors import OutputError
from lungscope.inference.runtime import processor_has_bf16
from lungscope.model.augment import augment
from lungscope.model.history import Epoch, Progress, validate
from lungscope.model.labelled import LabelledImages
from lungscope.model.zoo import Network


def open_fabric(device: str) -> Fabric:
    """The device and precision of this machine: bf16 autocast where it is computed in hardware."""
    fast = torch.cuda.is_bf16_supported() if device == "cuda" else processor_has_bf16()
    return Fabric(accelerator=device, devices=1, precision="bf16-mixed" if fast else "32-true")


def finetune(
    network: Network,
    training: LabelledImages,
    validation: LabelledImages,
    *,
    recipe: Recipe,
    class_weights: Tensor,
    device: str = "cpu",
    checkpoint: Path | None = None,
) -> tuple[Epoch, ...]:
    """Train all layers of `network` in place and keep the epoch of the highest validation AUROC.

    Each epoch draws its order and its augmentation from (seed, epoch) alone, so a run that was killed
    and continued from `checkpoint` ends with the weights of an uninterrupted one.

    Args:
        network: with trained head; its weights are replaced by the best ones.
        training: images the weights are fitted to.
        validation: images that choose the best epoch.
        recipe: its `finetune`, `augment` and `seed` count here.
        class_weights: (K,).
        device: "cpu" or "cuda".
        checkpoint: file that holds the state after the last epoch; continued from when it is there.
    """
    settings = recipe.finetune
    fabric = open_fabric(device)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    model, optimizer = fabric.setup(network, optimizer)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    progress, best = Progress(settings.patience), _copy(network)
    if checkpoint is not None and checkpoint.exists():
        progress, best = _restore(checkpoint, network, optimizer, schedule, settings.patience)
    weights = class_weights.to(fabric.device)
    while len(progress.rows) < settings.epochs and not progress.exhausted:
        started, epoch = time.perf_counter(), len(progress.rows) + 1
        rate = float(schedule.get_last_lr()[0])
        train_loss = _one_epoch(fabric, model, optimizer, training, recipe, weights, epoch)
        schedule.step()
        logits = _logits(model, validation, settings.batch, fabric.device)
        loss, auroc = validate(logits, validation.labels, weights)
        row = Epoch("finetune", epoch, train_loss, loss, auroc, rate, time.perf_counter() - started)
        if progress.add(row):
            best = _copy(network)
        if checkpoint is not None:
            _save(checkpoint, network, optimizer, schedule, progress, best)
    network.load_state_dict(best)
    return tuple(progress.rows)


def _one_epoch(
    fabric: Fabric,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    training: LabelledImages,
    recipe: Recipe,
    class_weights: Tensor,
    epoch: int,
) -> float:
    generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
    torch.manual_seed(recipe.seed * 100_003 + epoch)  # dropout
    model.train()
    labels = training.labels
    total, seen = 0.0, 0
    with Bar(f"Epoch {epoch} of {recipe.finetune.epochs}", len(training)) as bar:
        for rows in torch.randperm(len(training), generator=generator).split(recipe.finetune.batch):
            if len(rows) < 2:  # batch normalisation needs two
                continue
            index = np.sort(rows.numpy())
            images = torch.from_numpy(training.batch(index)).to(fabric.device, non_blocking=True)
            y = torch.from_numpy(labels[index]).to(fabric.device, non_blocking=True)
            loss = functional.cross_entropy(
                model(augment(images, recipe.augment, generator)).float(), y, class_weights
            )
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            total, seen = total + float(loss.detach()) * len(rows), seen + len(rows)
            bar.advance(len(rows), loss=total / seen)
    return total / seen


def _logits(model: torch.nn.Module, images: LabelledImages, batch: int, device: torch.device) -> Tensor:
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            part = torch.from_numpy(images.batch(slice(start, start + batch))).to(device)
            parts.append(model(part).float())
    return torch.cat(parts)


def _copy(network: Network) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _save(
    path: Path,
    network: Network,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    progress: Progress,
    best: dict[str, Tensor],
) -> None:
    state = {
        "network": network.state_dict(),
        "best": best,
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "rows": [asdict(row) for row in progress.rows],
    }
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        part.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: the checkpoint could not be written ({error}). Make room; --resume goes on from the last one."
        ) from error


def _restore(
    path: Path,
    network: Network,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    patience: int,
) -> tuple[Progress, dict[str, Tensor]]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise OutputError(f"{path}: the checkpoint is damaged. Start again without --resume.") from error
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    progress = Progress(patience)
    for row in state["rows"]:
        progress.add(Epoch(**row))
    return progress, state["best"]
