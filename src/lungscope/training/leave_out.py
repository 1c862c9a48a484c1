"""Heads trained again and again on features computed once, each time without a stratum of the data."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lungscope.config.recipe import Recipe
from lungscope.errors import ConfigError
from lungscope.networks.network import Network, build_network
from lungscope.networks.onnx_graph import export_backbone
from lungscope.training.distributed import choose_device
from lungscope.training.features import Embed, embedder, view_features
from lungscope.training.hard_examples import hard_example_copies
from lungscope.training.head import HeadData, train_head
from lungscope.training.imbalance import plan, undo_balance
from lungscope.training.labelled_images import LabelledImages


@dataclass(frozen=True)
class Features:
    """All images of a data set as a frozen backbone sees them."""

    views: NDArray[np.float32]
    """(V, N, C); view 0 is the image as it is."""
    labels: NDArray[np.int64]
    """(N,)."""
    n_classes: int
    recipe: Recipe
    weights: str
    patients: NDArray[np.object_]
    """(N,)."""


def compute_features(
    images: LabelledImages, n_classes: int, recipe: Recipe, *, weights: str = "imagenet", device: str = "auto"
) -> Features:
    """Features of every image under the augmented views of a recipe, but without style transfer.

    The styles of other images would show a head the stratum that is left out.

    Args:
        images: N of them.
        n_classes: K.
        recipe: that trains a head only.
        weights: "imagenet", or a safetensors file of the backbone.
        device: "auto", "cpu" or "cuda".

    Raises:
        ConfigError: the recipe trains the backbone too, or has no cached views.
    """
    head = recipe.head
    if (
        recipe.finetune.epochs
        or not head.epochs
        or not head.augmented_views
        or recipe.imbalance.startswith("oversample")
    ):
        raise ConfigError(
            f"Leaving strata out needs a frozen backbone with cached views, and this recipe has "
            f"finetune.epochs = {recipe.finetune.epochs}, head.epochs = {head.epochs}, head.augmented_views = "
            f"{head.augmented_views}, imbalance = {recipe.imbalance!r}. Use another recipe, or leave "
            "--leave-out away."
        )
    embed = frozen_embedder(n_classes, recipe, weights=weights, device=device)
    augment = recipe.augment.model_copy(update={"style_transfer": 0.0})
    found = view_features(images, embed, head.augmented_views, augment, recipe.seed)
    return Features(found, images.labels, n_classes, recipe, weights, images.patients)


def frozen_embedder(n_classes: int, recipe: Recipe, *, weights: str = "imagenet", device: str = "auto") -> Embed:
    """The frozen backbone of any recipe, from images to features; see `compute_features`."""
    network, place = _network(recipe, n_classes, weights), choose_device(device)
    graph = export_backbone(network, recipe.image.size)
    return embedder(network.to(place).eval(), graph, torch.device(place))


def train_without(
    features: Features, training: NDArray[np.int64], validation: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Logits (N, K) of all images by a head that saw some of them only.

    Args:
        features: of all N images.
        training: rows the head is fitted to.
        validation: rows that choose its epoch.
    """
    recipe, labels = features.recipe, features.labels
    network = _network(recipe, features.n_classes, features.weights)
    balance = plan(labels[training], features.n_classes, recipe)
    own = features.views[0, training], labels[training], features.patients[training]
    shown = np.concatenate((training, training[hard_example_copies(*own, recipe)]))
    held_out = features.views[0, validation], labels[validation]
    train_head(network.head, HeadData(features.views[:, shown], labels[shown], *held_out), recipe, balance)
    undo_balance(network, balance.factor)
    with torch.inference_mode():
        logits: NDArray[np.float32] = network.head.eval()(torch.from_numpy(features.views[0])).numpy()
    return logits


def _network(recipe: Recipe, n_classes: int, weights: str) -> Network:
    torch.manual_seed(recipe.seed)
    return build_network(recipe.network, recipe.image, n_classes, weights)
