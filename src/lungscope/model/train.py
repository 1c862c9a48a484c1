"""Training: a frozen phase on precomputed features, then, when the recipe asks, all layers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lungscope.config import Recipe
from lungscope.errors import ConfigError, RuntimeUnavailable
from lungscope.model.export import export_backbone
from lungscope.model.features import embedder, view_features
from lungscope.model.finetune import finetune
from lungscope.model.frozen import train_head
from lungscope.model.history import Epoch
from lungscope.model.labelled import LabelledImages
from lungscope.model.zoo import Network, build_network


@dataclass(frozen=True)
class Trained:
    """A trained network, its exported backbone, and what happened on the way."""

    network: Network
    backbone: bytes
    """ONNX, image → feature map and embedding; see `model/export.py`."""
    history: tuple[Epoch, ...]


def train(
    training: LabelledImages,
    validation: LabelledImages,
    n_classes: int,
    recipe: Recipe,
    *,
    weights: str | Path = "none",
    device: str = "auto",
    checkpoint: Path | None = None,
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

    Raises:
        ConfigError: the recipe has no epochs.
        RuntimeUnavailable: no such device, or weights that cannot be had.
    """
    if not recipe.head.epochs and not recipe.finetune.epochs:
        raise ConfigError(
            "head.epochs and finetune.epochs are both 0: nothing would be learned. Set one of them."
        )
    place = choose_device(device)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, recipe.image, n_classes, weights)
    class_weights = (
        balanced_weights(training.labels, n_classes) if recipe.class_weights else torch.ones(n_classes)
    )
    history: tuple[Epoch, ...] = ()
    backbone: bytes | None = None
    if recipe.head.epochs:
        backbone = export_backbone(network, recipe.image.size)
        history += _train_frozen(network, backbone, training, validation, recipe, class_weights, place)
    if recipe.finetune.epochs:
        history += finetune(
            network, training, validation,
            recipe=recipe, class_weights=class_weights, device=place, checkpoint=checkpoint,
        )  # fmt: skip
        backbone = None
    network.cpu().to(memory_format=torch.contiguous_format).eval()
    undo_weighting(network, class_weights)
    return Trained(network, backbone or export_backbone(network, recipe.image.size), history)


def _train_frozen(
    network: Network,
    backbone: bytes,
    training: LabelledImages,
    validation: LabelledImages,
    recipe: Recipe,
    class_weights: torch.Tensor,
    device: str,
) -> tuple[Epoch, ...]:
    embed = embedder(network.eval(), backbone, torch.device(device))
    seen = view_features(training, embed, recipe.head.views, recipe.augment, recipe.seed)
    held_out = view_features(validation, embed, 1, recipe.augment, recipe.seed)[0]
    return train_head(
        network.head, seen, training.labels, held_out, validation.labels,
        settings=recipe.head, class_weights=class_weights, seed=recipe.seed,
    )  # fmt: skip


def balanced_weights(labels: NDArray[np.int64], n_classes: int) -> torch.Tensor:
    """Weights (K,) under which every class counts the same in the loss, N / (K · n_k)."""
    counts = np.bincount(labels, minlength=n_classes)
    return torch.from_numpy(len(labels) / (n_classes * np.maximum(counts, 1))).float()


def undo_weighting(network: Network, class_weights: torch.Tensor) -> None:
    """Take the class weights out of the output bias.

    A weighted loss learns odds multiplied by the ratio of the weights. The factor is known, so it is
    removed, and probabilities refer to the classes as they occur (Elkan 2001).
    """
    shift = class_weights.log()
    bias = network.head.output.bias
    with torch.no_grad():
        bias.sub_(shift[1:] - shift[:1] if network.head.sigmoid else shift)


def choose_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one.

    Raises:
        ConfigError: an unknown name.
        RuntimeUnavailable: "cuda" where PyTorch sees none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {device!r} is unknown. Choose auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise RuntimeUnavailable("PyTorch sees no CUDA device here. Use --device cpu.")
    return "cuda" if available and device != "cpu" else "cpu"
