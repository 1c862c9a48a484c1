"""Training: a frozen phase on precomputed features, then, when the recipe asks, all layers."""

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
from lungscope.training.features import embedder, view_features
from lungscope.training.finetune import finetune
from lungscope.training.hard_examples import hard_example_copies
from lungscope.training.head import train_head
from lungscope.training.history import Epoch
from lungscope.training.imbalance import Plan, plan, undo_balance
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.loggers import Journal


@dataclass(frozen=True)
class Trained:
    """A trained network, its exported backbone, and what happened on the way."""

    network: Network
    backbone: bytes
    """ONNX, image → feature map and embedding; see `model/export.py`."""
    history: tuple[Epoch, ...]
    embeddings: NDArray[np.float32] | None = None
    """(N, C), of the training images as they are, where the frozen phase left them as the backbone gives them."""


def train(
    training: LabelledImages,
    validation: LabelledImages,
    n_classes: int,
    recipe: Recipe,
    *,
    weights: str | Path = "none",
    device: str = "auto",
    checkpoint: Path | None = None,
    log: Path | None = None,
) -> Trained:
    """Run the phases of a recipe; the same seed gives the same weights on one machine.

    Args:
        training: images the weights are fitted to.
        validation: images that choose the best epoch.
        n_classes: K.
        recipe: what to do.
        weights: "imagenet", "none", or a safetensors file; see `build_network`.
        device: "auto", "cpu" or "cuda".
        checkpoint: where the state after each fine-tuning epoch is kept and continued from.
        log: folder that gets the curves for TensorBoard; none without it.

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
    balance = plan(training.labels, n_classes, recipe)
    history: tuple[Epoch, ...] = ()
    backbone: bytes | None = None
    plain: NDArray[np.float32] | None = None
    with Journal(log if is_first() else None, recipe) as journal:
        if recipe.head.epochs:
            backbone = export_backbone(network, recipe.image.size)
            epochs, plain, balance = _train_frozen(
                network, backbone, training, validation, recipe, balance, place, journal
            )
            history += epochs
        if recipe.finetune.epochs:
            history += finetune(
                network, training, validation,
                recipe=recipe, plan=balance, fabric=fabric, checkpoint=checkpoint, journal=journal,
            )  # fmt: skip
            backbone = plain = None
    part_ways(fabric)
    network.cpu().to(memory_format=torch.contiguous_format).eval()
    undo_balance(network, balance.factor)
    return Trained(network, backbone or export_backbone(network, recipe.image.size), history, plain)


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


def _train_frozen(
    network: Network,
    backbone: bytes,
    training: LabelledImages,
    validation: LabelledImages,
    recipe: Recipe,
    balance: Plan,
    device: str,
    journal: Journal,
) -> tuple[tuple[Epoch, ...], NDArray[np.float32] | None, Plan]:
    embed = embedder(network.eval(), backbone, torch.device(device))
    shown = LabelledImages(training.pixels, training.classes, training.rows[balance.rows])

    def views(first: int, n: int) -> NDArray[np.float32]:
        return view_features(shown, embed, n, recipe.augment, recipe.seed, first=first, originals=balance.originals)

    # Without cached views, every epoch has an augmented one of its own.
    seen = views(0, recipe.head.augmented_views) if recipe.head.augmented_views else views(1, 1)
    plain = seen[0][: balance.originals].copy() if recipe.head.augmented_views else None
    labels = shown.labels
    if plain is not None:
        more = hard_example_copies(plain, training.labels, training.patients, recipe)
        if len(more):
            seen, labels = (
                np.concatenate((seen, seen[:, more]), axis=1),
                np.concatenate((labels, labels[more])),
            )
            balance = replace(balance, rows=np.concatenate((balance.rows, more)))
    held_out = view_features(validation, embed, 1, recipe.augment, recipe.seed)[0]
    epochs = train_head(
        network.head, seen, labels, held_out, validation.labels,
        settings=recipe.head, plan=balance, seed=recipe.seed, mixing=recipe.mix, journal=journal,
        fresh=None if recipe.head.augmented_views else lambda epoch: views(epoch, 1)[0],
    )  # fmt: skip
    return epochs, plain, balance
