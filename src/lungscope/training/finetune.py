"""Second phase: all layers, or the last ones, learn at a low rate; every epoch leaves a checkpoint."""

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
from lungscope.networks.frozen_batchnorm import frozen_batchnorm
from lungscope.networks.network import Network
from lungscope.system.progress import Bar
from lungscope.training.augment.augment import change, draw_changes
from lungscope.training.augment.mixup import Mixture, draw_mixture, label_parts, mix
from lungscope.training.augment.style_transfer import draw_styles, in_styles
from lungscope.training.checkpoint import State, restore, save
from lungscope.training.distributed import average_statistics, gather, is_first, open_fabric, share, total
from lungscope.training.history import Epoch, check_finite
from lungscope.training.imbalance import Plan, batches
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.loggers import Logger
from lungscope.training.optimizer import build_optimizer
from lungscope.training.phase import Phase
from lungscope.training.weight_averaging import Average


@dataclass(frozen=True, eq=False)
class Task:
    """What a network is to learn, and how."""

    training: LabelledImages
    """Images the weights are fitted to."""
    validation: LabelledImages
    """Images that choose the best epoch."""
    recipe: Recipe
    plan: Plan
    """What is done about classes of unequal size."""

    @property
    def shown(self) -> LabelledImages:
        """The training images as often as an epoch shows them."""
        return self.training.select(self.plan.rows)


def finetune(
    network: Network,
    task: Task,
    *,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    logger: Logger | None = None,
) -> tuple[Epoch, ...]:
    """Train the layers of `network` in place and keep the best epoch on validation.

    Each epoch draws its order and its augmentation from (seed, epoch) alone, so a run that was killed
    and continued from `checkpoint` ends with the weights of an uninterrupted one. Several processes
    take their parts of the same batches.

    Args:
        network: with trained head; its weights are replaced by the best ones.
        task: the `finetune`, `augment`, `mix` and `seed` of its recipe count here.
        fabric: devices, precision and processes; those of this machine's processor when there is none.
        checkpoint: file that holds the state after the last epoch; continued from when it is there.
        logger: told of every epoch.

    Raises:
        TrainingDiverged: the loss is no longer a number.
        OutputError: a checkpoint cannot be written or read.
    """
    fabric = fabric or open_fabric("cpu")
    network.to(fabric.device).to(memory_format=torch.channels_last)
    probe = torch.from_numpy(task.validation.batch(slice(0, 2))).to(fabric.device)
    frozen = task.recipe.finetune.frozen_batchnorm
    with frozen_batchnorm(network, probe) if frozen else nullcontext():
        return FinetunePhase(network, task, fabric, checkpoint, logger).run()


class FinetunePhase(Phase):
    """Epochs over images, in one process or as one of several."""

    name = "finetune"

    def __init__(
        self, network: Network, task: Task, fabric: Fabric, checkpoint: Path | None, logger: Logger | None
    ) -> None:
        """Prepare the epochs, or those that are left; see `finetune`."""
        self.network, self.fabric, self.checkpoint = network, fabric, checkpoint
        self.recipe, self.plan, self.settings = task.recipe, task.plan, task.recipe.finetune
        self.images, self.validation = task.shown, task.validation
        self.still = _hold_still(network, self.settings)
        optimizer = build_optimizer(network.parameters(), self.settings)
        # The network as it is run: compiled, or spread over processes.
        self.model, optimizer = fabric.setup(_compiled(network, self.settings, fabric), optimizer)
        average = None if self.settings.average == "none" else Average(network, self.settings)
        state = State(network, optimizer, self.settings, average)
        if checkpoint is not None and checkpoint.exists():
            restore(checkpoint, state)
        self.loss_of = task.plan.loss.to(fabric.device)
        super().__init__(state, task.validation.labels, task.plan.validation_loss.to(fabric.device), logger)

    def fit_epoch(self, epoch: int) -> tuple[float, float]:
        """Mean loss and accuracy over the images of all processes as they were shown."""
        labels, world = torch.from_numpy(self.images.labels), self.fabric.world_size
        generator = torch.Generator().manual_seed(self.recipe.seed * 100_003 + epoch)
        torch.manual_seed(self.recipe.seed * 100_003 + epoch + 7919 * self.fabric.global_rank)  # dropout
        self.model.train()
        for layer in self.still:
            layer.eval()
        loss_sum, correct, seen = 0.0, 0.0, 0
        with Bar(f"Epoch {epoch} of {self.settings.epochs}", len(labels)) as bar:
            for drawn in batches(labels, self.settings.batch, self.plan.sampling, generator):
                if len(drawn) < 2 * world:  # batch normalisation needs two
                    continue
                rows = drawn.sort().values
                loss, hits = self._step(rows, labels[rows], generator)
                check_finite(loss, self.name, epoch, self.settings)
                loss_sum, correct, seen = loss_sum + loss * len(rows), correct + hits, seen + len(rows)
                bar.advance(len(rows), loss=loss_sum / seen * world)
        average_statistics(self.network, self.fabric)
        if self.state.average:
            self.state.average.after_epoch(self.network, epoch)
            average_statistics(self.state.average.network, self.fabric)
        sums = total(torch.tensor([loss_sum, correct], dtype=torch.float64), self.fabric)
        return float(sums[0]) / seen, float(sums[1]) / seen

    def validation_logits(self) -> Tensor:
        """(M, K), by the average of weights where there is one."""
        network, fabric, parts = self.state.validated.eval(), self.fabric, []
        rows = share(torch.arange(len(self.validation)), fabric)
        with torch.inference_mode(), fabric.autocast():
            for some in rows.split(self.settings.batch):
                parts.append(network(torch.from_numpy(self.validation.batch(some.numpy())).to(fabric.device)).float())
        return gather(torch.cat(parts), len(self.validation), fabric)

    def after_epoch(self, row: Epoch) -> None:
        """Leave a checkpoint."""
        if self.checkpoint is not None and is_first():
            save(self.checkpoint, self.state)

    def _step(self, rows: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[float, int]:
        """This process's part of the loss of a batch, and how many of its images are right."""
        device, world = self.fabric.device, self.fabric.world_size
        mixture = draw_mixture(len(rows), self.recipe.mix, generator)
        mine = share(torch.arange(len(rows)), self.fabric)
        logits = self.model(self._show(rows, mine, mixture, generator)).float()
        loss = logits.new_zeros(())
        for positions, proportion in label_parts(mine, mixture):
            y = labels[positions].to(device, non_blocking=True)
            if world == 1:
                loss = loss + proportion * self.loss_of(logits, y)
            else:  # gradients are averaged over the processes, and the mean is to be that of the whole batch
                whole = self.plan.loss.weight_of(labels).to(device)
                loss = loss + proportion * self.loss_of.total(logits, y) * world / whole
        self.state.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.state.optimizer.step()
        if self.state.average:
            self.state.average.after_step(self.network)
        return float(loss.detach()) / world, int((logits.argmax(1) == labels[mine].to(device)).sum())

    def _show(self, rows: Tensor, mine: Tensor, mixture: Mixture | None, generator: torch.Generator) -> Tensor:
        """This process's images of a batch as the network sees them, uint8 (n, H, W)."""
        device, augment = self.fabric.device, self.recipe.augment
        # Drawn for the whole batch, so that the number of processes changes no image.
        changes = draw_changes(len(rows), augment, generator)
        needed = torch.cat((mine, mixture.partner[mine])).unique() if mixture else mine
        images = torch.from_numpy(self.images.batch(rows[needed].numpy())).to(device, non_blocking=True)
        if augment.style_transfer:
            styles = draw_styles(len(rows), len(self.images), augment.style_transfer, generator)
            images = in_styles(images, styles[needed], self.images)
        shown = change(images, changes[needed])
        if mixture is None:
            return shown
        first, second = (torch.searchsorted(needed, part) for part in (mine, mixture.partner[mine]))
        return mix(shown, first.to(device), second.to(device), mixture)


def _hold_still(network: Network, settings: FinetuneSettings) -> list[nn.Module]:
    """Freeze all but the last layers; returns the layers whose batch statistics stay, the frozen ones among them."""
    norms = [layer for layer in network.modules() if settings.frozen_batchnorm and isinstance(layer, nn.BatchNorm2d)]
    if settings.layers == "all":
        return [*norms]
    learning = list(last_layers(network.backbone, settings.layers))
    network.backbone.requires_grad_(False)
    for layer in learning:
        layer.requires_grad_(True)
    return [*norms, *(layer for layer in last_layers(network.backbone, None) if layer not in learning)]


def _compiled(network: Network, settings: FinetuneSettings, fabric: Fabric) -> nn.Module:
    wanted = settings.compile == "on" or (settings.compile == "auto" and fabric.device.type == "cuda")
    return cast(nn.Module, torch.compile(network)) if wanted else network
