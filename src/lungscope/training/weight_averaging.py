"""Averages of weights: over a training, validated and kept instead of the last step's, and over trainings."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lungscope.config.settings import FinetuneSettings
from lungscope.errors import BundleError
from lungscope.networks.network import Network


class Average(nn.Module):
    """A network whose weights are a mean of those that another had so far.

    Running statistics of batch normalisation are averaged like weights. At the low rates of the second
    phase the averaged networks differ little, which is what makes that admissible.
    """

    def __init__(self, learned: Network, settings: FinetuneSettings) -> None:
        """Begin at the present weights of `learned`."""
        super().__init__()
        self.settings, self.network = settings, copy.deepcopy(learned)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))  # on the processor, to be read at each step

    def after_step(self, learned: Network) -> None:
        """Take in the weights after a step of the optimiser."""
        if self.settings.average == "ema":
            steps = int(self.get_buffer("steps").add_(1))
            # Early steps forget faster, so that the mean is not held by the start (as in TensorFlow's).
            self._move(learned, 1 - min(self.settings.ema_decay, (1 + steps) / (10 + steps)))

    def after_epoch(self, learned: Network, epoch: int) -> None:
        """Take in the weights at the end of an epoch, counted from 1; those of the first half are not averaged."""
        if self.settings.average == "swa":
            self._move(learned, 1 / max(1, epoch - self.settings.epochs // 2))

    @torch.no_grad()
    def _move(self, learned: Network, part: float) -> None:
        mine, theirs = _split(self.network), _split(learned)
        torch._foreach_lerp_(mine[0], theirs[0], part)
        for here, there in zip(mine[1], theirs[1], strict=True):
            here.copy_(there)


def mean_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights and statistics in safetensors files of one network; counters are the first's.

    Raises:
        BundleError: a file cannot be read.
    """
    members = []
    for path in paths:
        try:
            members.append(load_file(path))
        except (OSError, SafetensorError) as error:
            raise BundleError(
                f"{path}: the weights of this run cannot be read ({type(error).__name__}). Name run folders."
            ) from None
    return {
        name: torch.stack([member[name].double() for member in members]).mean(0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in members[0].items()
    }


def _split(network: Network) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and statistics, and the counters, which have no mean."""
    tensors = cast(dict[str, Tensor], network.state_dict()).values()
    return [t for t in tensors if t.is_floating_point()], [t for t in tensors if not t.is_floating_point()]
