"""The state of a training between two epochs, in one file that appears whole or not at all."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lungscope.config.settings import PhaseSettings
from lungscope.errors import OutputError
from lungscope.system.files import open_atomically
from lungscope.training.history import Epoch, Progress
from lungscope.training.optimizer import build_schedule
from lungscope.training.weight_averaging import Average


@dataclass
class State:
    """All that the epochs of a phase change."""

    network: nn.Module
    optimizer: Optimizer
    settings: PhaseSettings
    average: Average | None = None
    """Of the weights; where there is one, it is validated and kept."""
    schedule: LRScheduler = field(init=False)
    progress: Progress = field(init=False)
    best: dict[str, Tensor] = field(init=False)
    """Weights of the best epoch so far."""

    def __post_init__(self) -> None:
        self.schedule, self.progress = build_schedule(self.optimizer, self.settings), Progress(self.settings)
        self.take_best()

    @property
    def validated(self) -> nn.Module:
        """The network whose weights would be kept."""
        return self.average.network if self.average else self.network

    def take_best(self) -> None:
        """Keep the weights as they are now, apart from later changes."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.validated.state_dict().items()}


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
        "average": state.average.state_dict() if state.average else {},
    }
    try:
        with open_atomically(path) as file:
            torch.save(content, file)
    except (OutputError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise OutputError(
            f"{path}: the checkpoint could not be written ({error}). Make room; --resume goes on from the last one."
        ) from error


def restore(path: Path, state: State) -> None:
    """Put back what `save` wrote into a state before its first epoch.

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
            state.average.load_state_dict(content["average"])
    except Exception as error:  # torch raises many kinds for a damaged file
        raise OutputError(f"{path}: the checkpoint is damaged. Start again with --force.") from error
    for row in rows:
        state.progress.add(row)
