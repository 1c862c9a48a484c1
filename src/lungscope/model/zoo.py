"""Networks: grey stem → backbone features → global average pooling → head.

Every network ends this way, so Grad-CAM (Selvaraju et al. 2017) has a closed form: the gradient of a
logit with respect to the pooled features needs only the head's weights and its ReLU mask.
"""

import difflib
import re
import socket
from itertools import pairwise
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungscope.config import ImageSettings, NetworkSettings
from lungscope.errors import ConfigError, RuntimeUnavailable

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PLAIN_CNN = re.compile(r"cnn((?:-[1-9]\d{0,3})+)")
REMEDY = "Connect to the network, or pass --weights FILE.safetensors with the backbone's weights, or --weights none."


class GreyStem(nn.Module):
    """A first convolution that takes one grey channel and equals the three-channel one on grey images.

    The three normalised channels are affine in the grey value, so their kernels fold into one. What is
    left of the offsets is a convolution of a constant image, which zero padding makes smaller at the
    border; it is kept as a second kernel over ones, so that the border is exact too.
    """

    def __init__(self, conv: nn.Conv2d, mean: Tensor, std: Tensor) -> None:
        """Fold `conv`, which expects channels normalised by `mean` and `std` (3,) of pixels in 0..1."""
        super().__init__()
        with torch.no_grad():
            gain = (1 / std).view(1, 3, 1, 1)
            offset = (-mean / std).view(1, 3, 1, 1)
            self.weight = nn.Parameter((conv.weight * gain).sum(1, keepdim=True))
            self.offset = nn.Parameter((conv.weight * offset).sum(1, keepdim=True))
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation

    def forward(self, grey: Tensor) -> Tensor:
        """(N, 1, H, W) in 0..1 → (N, C, H', W')."""
        image = functional.conv2d(grey, self.weight, self.bias, self.stride, self.padding, self.dilation)
        ones = torch.ones_like(grey[:1])
        return image + functional.conv2d(ones, self.offset, None, self.stride, self.padding, self.dilation)


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


class TimmBackbone(nn.Module):
    """Any timm network that yields a feature map, with a single-channel stem."""

    def __init__(self, name: str, weights: str | Path, image: ImageSettings) -> None:
        super().__init__()
        model = _timm_model(name, weights)
        stem = _first_convolution(model, name)
        mean, std = ((0.0,) * 3, (1.0,) * 3) if image.scaling != "imagenet" else (IMAGENET_MEAN, IMAGENET_STD)
        conv = cast(nn.Conv2d, model.get_submodule(stem))
        model.set_submodule(stem, GreyStem(conv, torch.tensor(mean), torch.tensor(std)))
        self.model = model

    def forward(self, grey: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, C, h, w)."""
        return cast(Tensor, self.model.forward_features(grey))  # type: ignore[operator]


class PlainCnn(nn.Module):
    """Blocks of 3×3 convolution, batch normalisation, ReLU and halving, of the widths in its name.

    The network of many tutorials: `cnn-32-64-128-256` has the four blocks of a published baseline.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, width in pairwise((1, *widths)):
            convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
            blocks += [convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, grey: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, C, h, w)."""
        return cast(Tensor, self.blocks(grey))


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
    backbone = _backbone(network.backbone, weights, image)
    with torch.no_grad():
        probe = backbone.eval()(torch.zeros(1, 1, image.size, image.size))
    if probe.ndim != 4:
        raise ConfigError(
            f"network.backbone = {network.backbone!r} yields {probe.ndim - 1} axes, not a feature map. "
            "Choose a convolutional network."
        )
    return Network(backbone, Head(probe.shape[1], n_classes, network), image)


def _backbone(name: str, weights: str | Path, image: ImageSettings) -> nn.Module:
    widths = PLAIN_CNN.fullmatch(name)
    if widths is None:
        return TimmBackbone(name, weights, image)
    if weights != "none":
        raise ConfigError(f"network.backbone = {name!r} has no pre-trained weights. Use --weights none.")
    return PlainCnn(tuple(int(width) for width in widths[1].split("-")[1:]))


def _timm_model(name: str, weights: str | Path) -> nn.Module:
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f" Similar: {', '.join(near)}." if near else " timm.list_models() prints all names."
        raise ConfigError(f"network.backbone = {name!r} is not a timm network.{hint}")
    if weights == "imagenet":
        return _from_hub(name)
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    if weights != "none":
        _load(model, Path(weights), name)
    return model


def _from_hub(name: str) -> nn.Module:
    import timm

    if not _reaches_hub():
        raise RuntimeUnavailable(
            f"ImageNet weights of {name!r} could not be downloaded (no network). {REMEDY}"
        )
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the hub raises many kinds, each meaning that there are no weights
        raise RuntimeUnavailable(
            f"ImageNet weights of {name!r} could not be downloaded ({type(error).__name__}). {REMEDY}"
        ) from error


def _reaches_hub() -> bool:
    """Whether a download is worth a try; the hub's own client retries for a minute where there is no network."""
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname
    if constants.HF_HUB_OFFLINE or getproxies() or host is None:
        return True  # a cache or a proxy, which the client knows better
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return Path(constants.HF_HUB_CACHE).is_dir()
    return True


def _load(model: nn.Module, path: Path, name: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RuntimeUnavailable(
            f"{path}: not a readable safetensors file ({error}). Pass the backbone's weights saved by safetensors."
        ) from None
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
    if missing:
        raise RuntimeUnavailable(
            f"{path}: the weights do not fit {name!r} ({len(missing)} of {len(wanted)} tensors are missing or "
            f"of another shape, first {missing[0]!r}). Pass weights of that network, or --weights none."
        )
    model.load_state_dict({key: state[key] for key in wanted})


def _first_convolution(model: nn.Module, name: str) -> str:
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            if type(module) is nn.Conv2d and module.in_channels == 3 and module.groups == 1:
                return str(path)
            break
    raise ConfigError(
        f"network.backbone = {name!r} has no plain first convolution over 3 channels. Choose another."
    )
