"""Batch normalisation whose statistics stay as they came, folded into the convolution before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungscope.errors import ConfigError
from lungscope.networks.backbones import GreyStem

TOLERANCE = 1e-3
"""Largest accepted difference, as a part of the largest output, between a folded network and the original."""


class FoldedConvolution(nn.Module):
    """A convolution that also does what the normalisation after it would, on the same parameters.

    The product of kernel and gain is made anew at each step, so that both learn as they would apart; it
    costs a pass over the weights instead of two over the images.
    """

    def __init__(self, convolution: nn.Conv2d | GreyStem, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.stride: tuple[int, ...] = convolution.stride
        self.padding, self.dilation = convolution.padding, convolution.dilation
        self.grey = isinstance(convolution, GreyStem)
        self.groups = 1 if isinstance(convolution, GreyStem) else convolution.groups
        self.norm = (norm,)  # within a tuple, for the parameters have their place in the network already

    def forward(self, x: Tensor) -> Tensor:
        """As convolution and normalisation with frozen statistics."""
        norm = self.norm[0]
        gain = norm.weight * torch.rsqrt(cast(Tensor, norm.running_var) + norm.eps)
        offset = norm.bias - cast(Tensor, norm.running_mean) * gain
        if self.bias is not None:
            offset = offset + self.bias * gain
        if self.grey:
            x = torch.cat((x, torch.ones_like(x)), dim=1)
        convolve = partial(
            functional.conv2d, weight=self.weight * gain.view(-1, 1, 1, 1), bias=offset, stride=self.stride,
            padding=self.padding, dilation=self.dilation, groups=self.groups,
        )  # fmt: skip
        if self.groups == 1 or max(self.stride) == 1 or x.device.type != "cpu":
            return convolve(x)
        # On a processor, the gradient of strided depthwise convolutions takes 3 to 20 times as long in bf16.
        with torch.autocast("cpu", enabled=False):
            return convolve(x.float())


class Folded(nn.Module):
    """What is left of a normalisation whose convolution does its work: its parameters, and its activation."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        self.drop, self.act = getattr(norm, "drop", nn.Identity()), getattr(norm, "act", nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """Dropout and activation, which timm keeps within the normalisation."""
        return cast(Tensor, self.act(self.drop(x)))


@contextmanager
def frozen_batchnorm(network: nn.Module, probe: Tensor) -> Iterator[None]:
    """Within the block, statistics of normalisations in `network` are frozen and convolutions do their work.

    Parameters and the names of the state stay the same; where a normalisation does not directly follow a
    convolution, only its statistics are frozen. After the block the network is as it was, with the weights
    it has learned.

    Args:
        network: on the device it will learn on.
        probe: an input; the folded network has to give what the original gives in evaluation.

    Raises:
        ConfigError: the folded network differs, so its layers do not run in the order of its parts.
    """
    originals: list[tuple[str, nn.Module]] = []
    try:
        _fold(network, probe, originals)
        yield
    finally:
        for path, module in originals:
            network.set_submodule(path, module)


def _fold(network: nn.Module, probe: Tensor, originals: list[tuple[str, nn.Module]]) -> None:
    network.eval()
    with torch.no_grad():
        wanted = network(probe)
        for (first, convolution), (second, norm) in _pairs(network):
            originals += [(first, convolution), (second, norm)]
            network.set_submodule(first, FoldedConvolution(convolution, norm))
            network.set_submodule(second, Folded(norm))
        difference = (network(probe) - wanted).abs().max()
    if not float(difference) <= TOLERANCE * max(float(wanted.abs().max()), 1.0):
        raise ConfigError(
            "finetune.frozen_batchnorm = true does not suit this backbone: its layers do not run in the order in which "
            "they are registered. Set finetune.frozen_batchnorm = false."
        )


def _pairs(network: nn.Module) -> list[tuple[tuple[str, nn.Conv2d | GreyStem], tuple[str, nn.BatchNorm2d]]]:
    """Convolutions and the normalisations registered directly after them, with their paths."""
    found = []
    for prefix, module in network.named_modules():
        dot = f"{prefix}." if prefix else ""
        for (first, a), (second, b) in pairwise(module.named_children()):
            fits = isinstance(a, nn.Conv2d | GreyStem) and isinstance(b, nn.BatchNorm2d)
            if fits and b.num_features == a.weight.shape[0] and b.affine and b.track_running_stats:
                found.append(((dot + first, a), (dot + second, b)))
    return found
