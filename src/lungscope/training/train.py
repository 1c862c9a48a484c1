"""Training: a head on features of the frozen backbone, then, when the recipe asks, all layers."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lungscope.config.recipe import Recipe
from lungscope.config.settings import HeadSettings
from lungscope.errors import ConfigError
from lungscope.networks.network import Network, build_network
from lungscope.networks.onnx_graph import export_backbone
from lungscope.training.distributed import choose_device, is_first, n_workers, open_fabric, part_ways
from lungscope.training.features import Embed, embedder, plain_features, view_features
from lungscope.training.finetune import Task, finetune
from lungscope.training.hard_examples import hard_example_copies
from lungscope.training.head import HeadData, train_head
from lungscope.training.history import Epoch
from lungscope.training.imbalance import plan, undo_balance
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.loggers import Logger


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, its exported backbone, and what happened on the way."""

    network: Network
    backbone: bytes
    """ONNX, image → feature map and embedding; see `networks/onnx_graph.py`."""
    history: tuple[Epoch, ...]
    embeddings: NDArray[np.float32] | None = None
    """(N, C), of the training images as they are, where the backbone that was trained still gives these."""


def train(
    training: LabelledImages,
    validation: LabelledImages,
    n_classes: int,
    recipe: Recipe,
    *,
    weights: str | Path = "none",
    device: str = "auto",
    folder: Path | None = None,
) -> Trained:
    """Run the phases of a recipe; the same seed gives the same weights on one machine.

    Args:
        training: images the weights are fitted to.
        validation: images that choose the best epoch.
        n_classes: K.
        recipe: what to do.
        weights: "imagenet", "none", or a safetensors file; see `build_network`.
        device: "auto", "cpu" or "cuda".
        folder: of the run; gets curves for TensorBoard, and the state after each epoch of the second phase, from
            which a training that was stopped goes on. Nothing is written without it.

    Raises:
        ConfigError: the recipe does not fit the data.
        TrainingDiverged: the loss is no longer a number.
        RuntimeUnavailable: no such device, or weights that cannot be had.
    """
    place = choose_device(device)
    _check(recipe, len(training))
    fabric = open_fabric(place)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, recipe.image, n_classes, weights)
    task = Task(training, validation, recipe, plan(training.labels, n_classes, recipe, training.sites))
    history: tuple[Epoch, ...] = ()
    backbone, embeddings = b"", None
    with Logger(folder if is_first() else None, recipe) as logger:
        if recipe.head.epochs:
            backbone = export_backbone(network, recipe.image.size)
            embed = embedder(network.eval(), backbone, torch.device(place))
            data, embeddings, task = _head_data(task, embed)
            history += train_head(network.head, data, recipe, task.plan, logger)
        if recipe.finetune.epochs:
            checkpoint = folder / "checkpoint" / "finetune.pt" if folder else None
            history += finetune(network, task, fabric=fabric, checkpoint=checkpoint, logger=logger)
            backbone, embeddings = b"", None
    part_ways(fabric)
    network.cpu().to(memory_format=torch.contiguous_format).eval()
    undo_balance(network, task.plan.factor)
    return Trained(network, backbone or export_backbone(network, recipe.image.size), history, embeddings)


def _check(recipe: Recipe, n: int) -> None:
    head, tuned = recipe.head, recipe.finetune
    rows = n * max(head.augmented_views, 1)
    ceiling = HeadSettings().batch  # a default that small data need not fill
    for name, phase, available in (("head", head, max(rows, ceiling)), ("finetune", tuned, n)):
        if phase.epochs and phase.batch > available:
            raise ConfigError(
                f"{name}.batch = {phase.batch} is larger than the data: {n} training images"
                f"{f' and head.augmented_views = {head.augmented_views}' if name == 'head' else ''}. "
                f"Use --set {name}.batch={max(2, min(n // 4, 32))}."
            )
    fewest = 2 * n_workers()
    if tuned.epochs and tuned.batch < fewest:
        raise ConfigError(
            f"finetune.batch = {tuned.batch} is too small for {n_workers()} processes: batch normalisation needs 2 "
            f"images in each. Use --set finetune.batch={fewest} or more."
        )


def _head_data(task: Task, embed: Embed) -> tuple[HeadData, NDArray[np.float32] | None, Task]:
    """What the head learns from, the training images' embeddings, and the task with copies of its hard examples."""
    recipe, balance, shown = task.recipe, task.plan, task.shown
    cached = recipe.head.augmented_views

    def views(first: int, n: int) -> NDArray[np.float32]:
        return view_features(shown, embed, n, recipe.augment, recipe.seed, first=first, originals=balance.originals)

    held_out = plain_features(task.validation, embed), task.validation.labels
    if not cached:  # every epoch has an augmented view of its own
        return HeadData(views(1, 1), shown.labels, *held_out, lambda epoch: views(epoch, 1)[0]), None, task
    features, labels = views(0, cached), shown.labels
    embeddings = features[0][: balance.originals].copy()
    more = hard_example_copies(embeddings, task.training.labels, task.training.patients, recipe)
    if len(more):
        features = np.concatenate((features, features[:, more]), axis=1)
        labels = np.concatenate((labels, labels[more]))
        task = replace(task, plan=replace(balance, rows=np.concatenate((balance.rows, more))))
    return HeadData(features, labels, *held_out), embeddings, task
