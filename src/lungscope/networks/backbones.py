"""Backbones: grey image in 0..1 → feature map. Networks of our own, and any of timm's that yields a map."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungscope.config.settings import ImageSettings
from lungscope.errors import ConfigError
from lungscope.networks.weights import timm_model

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
OWN = re.compile(r"cnn(-rgb)?(-nobn)?((?:-[1-9]\d{0,3}(?:x[1-9])?)+)")


class GreyStem(nn.Module):
    """A first convolution that takes one grey channel and equals the three-channel one on grey images.

    The three normalised channels are affine in the grey value, so their kernels fold into one. What is
    left of the offsets is a convolution of a constant image, which zero padding makes smaller at the
    border; it is kept as a second input channel of ones, so that the border is exact too and a batch
    normalisation that follows can still be fused by the runtime.
    """

    def __init__(self, conv: nn.Conv2d, mean: Tensor, std: Tensor) -> None:
        """Fold `conv`, which expects channels normalised by `mean` and `std` (3,) of pixels in 0..1."""
        super().__init__()
        with torch.no_grad():
            gain = (1 / std).view(1, 3, 1, 1)
            offset = (-mean / std).view(1, 3, 1, 1)
            kernels = [(conv.weight * factor).sum(1, keepdim=True) for factor in (gain, offset)]
            self.weight = nn.Parameter(torch.cat(kernels, dim=1))
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation

    def forward(self, grey: Tensor) -> Tensor:
        """(N, 1, H, W) in 0..1 → (N, C, H', W')."""
        image = torch.cat((grey, torch.ones_like(grey)), dim=1)
        return functional.conv2d(image, self.weight, self.bias, self.stride, self.padding, self.dilation)


class ColourInput(nn.Module):
    """A grey image as the three normalised channels of networks whose stem cannot be folded."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        """Channels are normalised by `mean` and `std` (3,) of pixels in 0..1."""
        super().__init__()
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)

    def forward(self, grey: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 3, H, W)."""
        return (grey - cast(Tensor, self.mean)) / cast(Tensor, self.std)


class TimmBackbone(nn.Module):
    """Any timm network that yields a feature map, on one grey channel."""

    def __init__(self, name: str, weights: str | Path, image: ImageSettings) -> None:
        super().__init__()
        model = timm_model(name, weights)
        mean, std = _normalisation(image, getattr(model, "pretrained_cfg", {}))
        self.model, self.channels_last = model, getattr(model, "output_fmt", "NCHW") == "NHWC"
        # Some classifiers normalise what they pooled; normalised before pooling, it belongs to the features.
        norm = getattr(getattr(model, "head", None), "norm", None)
        self.norm = norm if isinstance(norm, nn.Module) and list(norm.parameters()) else nn.Identity()
        if self.norm is norm:
            model.head.norm = nn.Identity()  # type: ignore[method-assign]
        self.input: nn.Module = nn.Identity()
        self._fold_stem(mean, std, image.size)
        self._drop_idle(image.size)

    def forward(self, grey: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, C, h, w)."""
        features = cast(Tensor, self.model.forward_features(self.input(grey)))  # type: ignore[operator]
        if self.channels_last and features.ndim == 4:
            features = features.permute(0, 3, 1, 2)
        return cast(Tensor, self.norm(features)) if features.ndim == 4 else features

    def _fold_stem(self, mean: Tensor, std: Tensor, size: int) -> None:
        convolutions = ((path, part) for path, part in self.model.named_modules() if isinstance(part, nn.Conv2d))
        path, first = next(convolutions, ("", None))
        if type(first) is nn.Conv2d and first.in_channels == 3 and first.groups == 1:
            self.model.set_submodule(path, GreyStem(first, mean, std))
            try:
                probe(self, size)
            except (RuntimeError, AssertionError):  # another branch takes colour too, or the size does not fit
                self.model.set_submodule(path, first)
            else:
                return
        self.input = ColourInput(mean, std)

    def _drop_idle(self, size: int) -> None:
        """Drop what only the classifier uses, such as the hidden layers of VGG or MobileNetV3."""
        ran: set[nn.Module] = set()
        hooks = [part.register_forward_hook(lambda part, *_: ran.add(part)) for part in self.model.modules()]
        probe(self, size)
        for hook in hooks:
            hook.remove()
        for name, child in list(self.model.named_children()):
            if not ran.intersection(child.modules()):
                setattr(self.model, name, nn.Identity())


class PlainCnn(nn.Module):
    """Blocks of 3×3 convolution, batch normalisation, ReLU and halving, of the widths in its name.

    `cnn-32-64-128-256` has four blocks; `64x3` is a block of three convolutions before the halving;
    `cnn-rgb-...` takes three normalised channels, with biases, as many published scripts do;
    `cnn-nobn-...` has no batch normalisation.
    """

    def __init__(self, name: str, image: ImageSettings) -> None:
        super().__init__()
        found = OWN.fullmatch(name)
        assert found is not None  # the caller has matched it
        rgb, normalised = bool(found[1]), not found[2]
        self.input = ColourInput(*_normalisation(image, {})) if rgb else nn.Identity()
        blocks: list[nn.Module] = []
        width = 3 if rgb else 1
        for part in found[3].split("-")[1:]:
            after, _, repeats = part.partition("x")
            for before, next_width in pairwise((width, *[int(after)] * int(repeats or 1))):
                blocks.append(nn.Conv2d(before, next_width, 3, padding=1, bias=rgb or not normalised))
                blocks += [nn.BatchNorm2d(next_width)] if normalised else []
                blocks.append(nn.ReLU())
            blocks.append(nn.MaxPool2d(2))
            width = int(after)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, grey: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, C, h, w)."""
        return cast(Tensor, self.blocks(self.input(grey)))


def build_backbone(name: str, weights: str | Path, image: ImageSettings) -> nn.Module:
    """A backbone by name; see `lungscope.networks.network.build_network` for what can go wrong."""
    if OWN.fullmatch(name) is None:
        return TimmBackbone(name, weights, image)
    if weights != "none":
        raise ConfigError(f"network.backbone = {name!r} has no pre-trained weights. Use --weights none.")
    return PlainCnn(name, image)


def probe(backbone: nn.Module, size: int) -> tuple[int, ...]:
    """Shape of the features of one image of `size` pixels."""
    device = next(backbone.parameters()).device
    with torch.no_grad():
        return tuple(backbone.eval()(torch.zeros(1, 1, size, size, device=device)).shape)


def last_layers(backbone: nn.Module, n: int | None) -> Iterator[nn.Module]:
    """The backbone's last `n` layers, a block of a residual or dense network counting as one; None: all."""
    layers = list(_opened(backbone))
    yield from layers[-n:] if n is not None else layers


def _opened(module: nn.Module) -> Iterator[nn.Module]:
    """Layers that hold weights, in order, with containers opened."""
    if isinstance(module, TimmBackbone | PlainCnn | nn.Sequential | nn.ModuleList | nn.ModuleDict) or (
        hasattr(module, "forward_features")
    ):
        for child in module.children():
            yield from _opened(child)
    elif any(True for _ in module.parameters()):
        yield module


def _normalisation(image: ImageSettings, published: dict[str, tuple[float, ...]]) -> tuple[Tensor, Tensor]:
    if image.scaling != "imagenet":
        return torch.zeros(3), torch.ones(3)
    return torch.tensor(published.get("mean", IMAGENET_MEAN)), torch.tensor(published.get("std", IMAGENET_STD))
