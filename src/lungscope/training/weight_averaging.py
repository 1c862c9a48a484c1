"""Averages of weights: over a training, validated and kept instead of the last step's, and over trainings."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lungscope.config.settings import FinetuneSettings
from lungscope.errors import BundleError
from lungscope.networks.network import Network


@dataclass
class Average:
    """A network whose weights are a mean of those that another had so far.

    Running statistics of batch normalisation are averaged like weights. At the low rates of the second
    phase the averaged networks differ little, which is what makes that admissible.
    """

    settings: FinetuneSettings
    network: Network
    steps: int = 0
    epochs: int = 0

    def after_step(self, learned: Network) -> None:
        """Take in the weights after a step of the optimiser."""
        if self.settings.average == "ema":
            self.steps += 1
            # Early steps forget faster, so that the mean is not held by the start (as in TensorFlow's).
            self._move(learned, 1 - min(self.settings.ema_decay, (1 + self.steps) / (10 + self.steps)))

    def after_epoch(self, learned: Network, epoch: int) -> None:
        """Take in the weights at the end of an epoch, counted from 1."""
        if self.settings.average == "swa":
            self.epochs = self.epochs + 1 if epoch > self.settings.epochs // 2 else 0
            self._move(learned, 1 / max(1, self.epochs))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"network": self.network.state_dict(), "steps": self.steps, "epochs": self.epochs}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.steps, self.epochs = int(state["steps"]), int(state["epochs"])

    @torch.no_grad()
    def _move(self, learned: Network, part: float) -> None:
        mine, theirs = _split(self.network), _split(learned)
        torch._foreach_lerp_(mine[0], theirs[0], part)
        for here, there in zip(mine[1], theirs[1], strict=True):
            here.copy_(there)


def start_average(learned: Network, settings: FinetuneSettings) -> Average | None:
    """An average that begins at the present weights; none when the recipe wants none."""
    return None if settings.average == "none" else Average(settings, copy.deepcopy(learned))


def mean_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights and statistics in safetensors files of one network; counters are the first's.

    Raises:
        BundleError: a file cannot be read.
    """
    members = [_read(path) for path in paths]
    return {
        name: torch.stack([member[name].double() for member in members]).mean(0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in members[0].items()
    }


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"{path}: the weights of this run cannot be read ({type(error).__name__}). Name run folders."
        ) from None


def _split(network: Network) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and statistics, and the counters, which have no mean."""
    tensors = cast(dict[str, Tensor], network.state_dict()).values()
    return [t for t in tensors if t.is_floating_point()], [t for t in tensors if not t.is_floating_point()]
