"""Second phase: all layers, or the last ones, learn at a low rate; every epoch leaves a checkpoint."""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lungscope.config.recipe import Recipe
from lungscope.config.settings import FinetuneSettings
from lungscope.networks.backbones import last_layers
from lungscope.networks.frozen_batchnorm import kept_statistics
from lungscope.networks.network import Network
from lungscope.system.progress import Bar
from lungscope.training.augment.augment import change, draw_changes
from lungscope.training.augment.mixup import Mixture, draw_mixture, mix
from lungscope.training.augment.style_transfer import draw_styles, in_styles
from lungscope.training.checkpoint import State, copy_weights, restore, save
from lungscope.training.distributed import average_statistics, gather, is_first, open_fabric, share, total
from lungscope.training.history import Epoch, Progress, check_finite, validate
from lungscope.training.imbalance import Plan, batches
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.loggers import Journal
from lungscope.training.optimizer import build_optimizer, build_schedule, rate, step
from lungscope.training.weight_averaging import Average, start_average


def finetune(
    network: Network,
    training: LabelledImages,
    validation: LabelledImages,
    *,
    recipe: Recipe,
    plan: Plan,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    journal: Journal | None = None,
) -> tuple[Epoch, ...]:
    """Train the layers of `network` in place and keep the best epoch on validation.

    Each epoch draws its order and its augmentation from (seed, epoch) alone, so a run that was killed
    and continued from `checkpoint` ends with the weights of an uninterrupted one. Several processes
    take their parts of the same batches.

    Args:
        network: with trained head; its weights are replaced by the best ones.
        training: images the weights are fitted to.
        validation: images that choose the best epoch.
        recipe: its `finetune`, `augment` and `seed` count here.
        plan: what is done about classes of unequal size.
        fabric: devices, precision and processes; those of this machine's processor when there is none.
        checkpoint: file that holds the state after the last epoch; continued from when it is there.
        journal: told of every epoch.

    Raises:
        TrainingDiverged: the loss is no longer a number.
        OutputError: a checkpoint cannot be written or read.
    """
    settings, fabric = recipe.finetune, fabric or open_fabric("cpu")
    network.to(fabric.device).to(memory_format=torch.channels_last)
    probe = torch.from_numpy(validation.batch(slice(0, 2))).to(fabric.device)
    kept = kept_statistics(network, probe) if settings.frozen_batchnorm else nullcontext()
    with kept:
        return _finetune(network, training, validation, recipe, plan, fabric, checkpoint, journal)


def _finetune(
    network: Network,
    training: LabelledImages,
    validation: LabelledImages,
    recipe: Recipe,
    plan: Plan,
    fabric: Fabric,
    checkpoint: Path | None,
    journal: Journal | None,
) -> tuple[Epoch, ...]:
    settings = recipe.finetune
    still = _hold_still(network, settings)
    optimizer = build_optimizer(network.parameters(), settings)
    model, optimizer = fabric.setup(_compiled(network, settings, fabric), optimizer)
    average = start_average(network, settings)
    state = State(
        network,
        optimizer,
        build_schedule(optimizer, settings),
        Progress(settings),
        copy_weights(network),
        average,
    )
    if checkpoint is not None and checkpoint.exists():
        restore(checkpoint, state, settings)
    rows = training.rows[plan.rows]
    shown = LabelledImages(training.pixels, training.classes, rows)
    trainer = _Trainer(fabric, network, model, still, shown, recipe, plan, optimizer, average)
    judged = average.network if average else network
    for row in state.progress.rows:
        _tell(journal, row)
    while len(state.progress.rows) < settings.epochs and not state.progress.exhausted:
        started, epoch = time.perf_counter(), len(state.progress.rows) + 1
        learning_rate = rate(optimizer)
        fitted = _one_epoch(trainer, epoch)
        average_statistics(network, fabric)
        if average:
            average.after_epoch(network, epoch)
            average_statistics(average.network, fabric)
        found = validate(
            _logits(judged, validation, settings.batch, fabric),
            validation.labels,
            plan.validation_loss.to(fabric.device),
        )
        row = Epoch("finetune", epoch, *fitted, *found, learning_rate, time.perf_counter() - started)
        if state.progress.add(row):
            state.take_best()
        step(state.schedule, row.validation_loss)
        if checkpoint is not None and is_first():
            save(checkpoint, state)
        _tell(journal, row)
    network.load_state_dict(state.best)
    return tuple(state.progress.rows)


def _tell(journal: Journal | None, row: Epoch) -> None:
    if journal is not None:
        journal.add(row)


def _hold_still(network: Network, settings: FinetuneSettings) -> list[nn.Module]:
    """Freeze all but the last layers; returns what keeps its batch statistics, of which the frozen ones are part."""
    kept = settings.frozen_batchnorm
    norms: list[nn.Module] = [layer for layer in network.modules() if kept and isinstance(layer, nn.BatchNorm2d)]
    if settings.layers == "all":
        return norms
    learning = list(last_layers(network.backbone, settings.layers))
    network.backbone.requires_grad_(False)
    for layer in learning:
        layer.requires_grad_(True)
    return norms + [layer for layer in last_layers(network.backbone, None) if layer not in learning]


def _compiled(network: Network, settings: FinetuneSettings, fabric: Fabric) -> nn.Module:
    wanted = settings.compile == "on" or (settings.compile == "auto" and fabric.device.type == "cuda")
    return cast(nn.Module, torch.compile(network)) if wanted else network


@dataclass(frozen=True)
class _Trainer:
    """What an epoch needs and does not replace."""

    fabric: Fabric
    network: Network
    model: nn.Module
    """The network as it is run: compiled, or spread over processes."""
    still: list[nn.Module]
    images: LabelledImages
    recipe: Recipe
    plan: Plan
    optimizer: torch.optim.Optimizer
    average: Average | None


def _one_epoch(trainer: _Trainer, epoch: int) -> tuple[float, float]:
    """Mean loss and accuracy over the images as they were shown."""
    fabric, settings, labels = (
        trainer.fabric,
        trainer.recipe.finetune,
        torch.from_numpy(trainer.images.labels),
    )
    generator = torch.Generator().manual_seed(trainer.recipe.seed * 100_003 + epoch)
    torch.manual_seed(trainer.recipe.seed * 100_003 + epoch + 7919 * fabric.global_rank)  # dropout
    trainer.model.train()
    for layer in trainer.still:
        layer.eval()
    loss_sum, correct, seen = 0.0, 0.0, 0
    with Bar(f"Epoch {epoch} of {settings.epochs}", len(labels)) as bar:
        for drawn in batches(labels, settings.batch, trainer.plan.sampling, generator):
            if len(drawn) < 2 * fabric.world_size:  # batch normalisation needs two
                continue
            rows = drawn.sort().values
            loss, hits = _one_step(trainer, rows, labels, generator)
            check_finite(loss, "finetune", epoch, settings)
            loss_sum, correct, seen = loss_sum + loss * len(rows), correct + hits, seen + len(rows)
            bar.advance(len(rows), loss=loss_sum / seen * fabric.world_size)
    sums = total(torch.tensor([loss_sum, correct], dtype=torch.float64), fabric)
    return float(sums[0]) / seen, float(sums[1]) / seen


def _one_step(trainer: _Trainer, rows: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[float, int]:
    """This process's part of the loss of a batch, and how many of its images are right."""
    fabric, mixture = trainer.fabric, draw_mixture(len(rows), trainer.recipe.mix, generator)
    loss_of = trainer.plan.loss.to(fabric.device)
    mine = share(torch.arange(len(rows)), fabric)
    other = mixture.partner[mine] if mixture else mine
    images = _show(trainer, rows, mine, mixture, generator)
    # One term per label that an image has, with its proportion.
    parts = ((mine, mixture.share), (other, 1 - mixture.share)) if mixture else ((mine, 1.0),)
    logits = trainer.model(images).float()
    loss = logits.new_zeros(())
    for positions, proportion in parts:
        y = labels[rows[positions]].to(fabric.device, non_blocking=True)
        if fabric.world_size == 1:
            loss = loss + proportion * loss_of(logits, y)
        else:  # gradients are averaged over the processes, and the mean is to be that of the whole batch
            whole = trainer.plan.loss.weight_of(labels[rows]).to(fabric.device)
            loss = loss + proportion * loss_of.total(logits, y) * fabric.world_size / whole
    trainer.optimizer.zero_grad()
    fabric.backward(loss)
    trainer.optimizer.step()
    if trainer.average:
        trainer.average.after_step(trainer.network)
    y = labels[rows[mine]].to(fabric.device)
    return float(loss.detach()) / fabric.world_size, int((logits.argmax(1) == y).sum())


def _show(trainer: _Trainer, rows: Tensor, mine: Tensor, mixture: Mixture | None, generator: torch.Generator) -> Tensor:
    """This process's images of a batch as the network sees them, uint8 (n, H, W)."""
    device = trainer.fabric.device
    # Drawn for the whole batch, so that the number of processes changes no image.
    changes = draw_changes(len(rows), trainer.recipe.augment, generator)
    needed = torch.cat((mine, mixture.partner[mine])).unique() if mixture else mine
    images = torch.from_numpy(trainer.images.batch(rows[needed].numpy())).to(device, non_blocking=True)
    if trainer.recipe.augment.style_transfer:
        styles = draw_styles(len(rows), len(trainer.images), trainer.recipe.augment.style_transfer, generator)
        images = in_styles(images, styles[needed], trainer.images)
    shown = change(images, changes[needed])
    if mixture is None:
        return shown
    first, second = (torch.searchsorted(needed, part) for part in (mine, mixture.partner[mine]))
    return mix(shown, first.to(device), second.to(device), mixture)


def _logits(network: Network, images: LabelledImages, batch: int, fabric: Fabric) -> Tensor:
    network.eval()
    parts, rows = [], share(torch.arange(len(images)), fabric).numpy()
    with torch.inference_mode(), fabric.autocast():
        for start in range(0, len(rows), batch):
            part = torch.from_numpy(images.batch(rows[start : start + batch])).to(fabric.device)
            parts.append(network(part).float())
    return gather(torch.cat(parts), len(images), fabric)
