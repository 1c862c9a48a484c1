"""The state of a training between two epochs, in one file that appears whole or not at all."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lungscope.config.settings import PhaseSettings
from lungscope.errors import OutputError
from lungscope.networks.network import Network
from lungscope.training.history import Epoch, Progress
from lungscope.training.weight_averaging import Average

Schedule = torch.optim.lr_scheduler.LRScheduler


@dataclass
class State:
    """All that an epoch changes."""

    network: Network
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    progress: Progress
    best: dict[str, Tensor]
    """Weights of the best epoch so far."""
    average: Average | None = None
    """Of the weights; where there is one, it is what is kept."""

    def take_best(self) -> None:
        """Keep the weights as they are now."""
        self.best = copy_weights(self.average.network if self.average else self.network)


def copy_weights(network: Network) -> dict[str, Tensor]:
    """The weights as they are now, apart from later changes."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def save(path: Path, state: State) -> None:
    """Write the state, replacing the former one.

    Raises:
        OutputError: it cannot be written; the former one is still there.
    """
    content = {
        "network": state.network.state_dict(),
        "best": state.best,
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "rows": [asdict(row) for row in state.progress.rows],
        "average": state.average.state() if state.average else {},
    }
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        part.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: the checkpoint could not be written ({error}). Make room; --resume goes on from the last one."
        ) from error


def restore(path: Path, state: State, settings: PhaseSettings) -> None:
    """Put back what `save` wrote.

    Raises:
        OutputError: the file is damaged or belongs to another network.
    """
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        state.network.load_state_dict(content["network"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.schedule.load_state_dict(content["schedule"])
        rows = [Epoch(**row) for row in content["rows"]]
        state.best = content["best"]
        if state.average:
            state.average.load(content["average"])
    except Exception as error:  # torch raises many kinds for a damaged file
        raise OutputError(f"{path}: the checkpoint is damaged. Start again with --force.") from error
    state.progress = Progress(settings)
    for row in rows:
        state.progress.add(row)
