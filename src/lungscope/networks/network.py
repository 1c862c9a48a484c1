"""Networks: grey stem → backbone features → global average pooling → head.

Every network ends this way, so Grad-CAM (Selvaraju et al. 2017) has a closed form: the gradient of a
logit with respect to the pooled features needs only the head's weights and its ReLU mask.
"""

from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungscope.config.settings import ImageSettings, NetworkSettings
from lungscope.errors import ConfigError
from lungscope.networks.backbones import build_backbone, probe


class Head(nn.Module):
    """Dense ReLU layers and an output layer over pooled features, with its own exact gradient."""

    def __init__(self, n_features: int, n_classes: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.sigmoid = settings.output == "sigmoid"
        if self.sigmoid and n_classes != 2:
            raise ConfigError(
                f"network.output = 'sigmoid' needs 2 classes and the data have {n_classes}. "
                "Use --set network.output=softmax."
            )
        widths = (n_features, *settings.hidden)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.output = nn.Linear(widths[-1], 1 if self.sigmoid else n_classes)
        self.pooled_dropout, self.hidden_dropout = settings.pooled_dropout, settings.hidden_dropout

    def forward(self, pooled: Tensor) -> Tensor:
        """(N, C) → logits (N, K). One sigmoid output z becomes (-z/2, z/2), whose softmax is the same."""
        x = functional.dropout(pooled, self.pooled_dropout, self.training)
        for layer in self.hidden:
            x = functional.dropout(functional.relu(layer(x)), self.hidden_dropout, self.training)
        logits = self.output(x)
        return torch.cat((-logits / 2, logits / 2), dim=1) if self.sigmoid else logits

    def gradient(self, pooled: Tensor) -> Tensor:
        """Derivative of each logit by the pooled features, (N, K, C), without a backward pass."""
        masks, x = [], pooled
        for layer in self.hidden:
            x = functional.relu(layer(x))
            masks.append((x > 0).to(x.dtype))
        weight = self.output.weight
        gradient = (torch.cat((-weight / 2, weight / 2)) if self.sigmoid else weight).unsqueeze(0)
        for layer, mask in zip(reversed(list(self.hidden)), reversed(masks), strict=True):
            gradient = (gradient * mask.unsqueeze(1)) @ cast(nn.Linear, layer).weight
        return gradient.expand(pooled.shape[0], -1, -1)


def grad_cam(feature_map: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM from features (N, C, h, w) and logit gradients (N, K, C): (N, K, h, w), at least 0."""
    n, c, h, w = feature_map.shape
    return functional.relu(gradient @ feature_map.reshape(n, c, h * w)).reshape(n, -1, h, w) / (h * w)


class Network(nn.Module):
    """8-bit grey images → logits, with the parts that training and export need by name."""

    def __init__(self, backbone: nn.Module, head: Head, image: ImageSettings) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.per_image = image.scaling == "per-image"

    def scale(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W) → float (N, 1, H, W): 0..1, or zero mean and unit deviation per image."""
        grey = images.unsqueeze(1).to(torch.float32) / 255
        if self.per_image:
            grey = grey - grey.mean((2, 3), keepdim=True)
            grey = grey / torch.clamp(grey.square().mean((2, 3), keepdim=True).sqrt(), min=1 / 255)
        return grey

    def features(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W) → feature map (N, C, h, w)."""
        return cast(Tensor, self.backbone(self.scale(images)))

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W) → logits (N, K)."""
        return cast(Tensor, self.head(pool(self.features(images))))


def pool(feature_map: Tensor) -> Tensor:
    """Global average pooling, (N, C, h, w) → (N, C)."""
    return feature_map.mean((2, 3))


def build_network(
    network: NetworkSettings, image: ImageSettings, n_classes: int, weights: str | Path = "none"
) -> Network:
    """Build a network; the head starts from PyTorch's own initialisation, so seed before calling.

    Args:
        network: which backbone and head.
        image: how its input is scaled; its size is used to find the number of features.
        n_classes: K.
        weights: "imagenet" (timm's hub), "none", or a safetensors file of the backbone.

    Raises:
        ConfigError: the backbone is unknown or yields no feature map.
        RuntimeUnavailable: the weights cannot be downloaded or read.
    """
    try:
        backbone = build_backbone(network.backbone, weights, image)
        shape = probe(backbone, image.size)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ConfigError(
            f"network.backbone = {network.backbone!r} does not take images of image.size = {image.size} pixels "
            f"({reason}). Set image.size to the size it was made for, often 224."
        ) from error
    if len(shape) != 4:
        raise ConfigError(
            f"network.backbone = {network.backbone!r} yields {len(shape) - 1} axes, not a feature map. "
            "Choose a convolutional network."
        )
    return Network(backbone, Head(shape[1], n_classes, network), image)


def count_parameters(network: NetworkSettings, image: ImageSettings, n_classes: int = 2) -> int:
    """Number of trainable weights, without allocating any."""
    with torch.device("meta"):
        built = build_network(network, image, n_classes)
    return sum(parameter.numel() for parameter in built.parameters())
