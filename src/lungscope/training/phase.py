"""A phase of training: epochs until there are enough or nothing improves; the weights of the best one are kept."""

import time
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lungscope.training.checkpoint import State
from lungscope.training.history import Epoch, validate
from lungscope.training.loggers import Logger
from lungscope.training.loss import Loss


class Phase(ABC):
    """Epochs of one phase; how an epoch is run is the phase's own."""

    name: str

    def __init__(self, state: State, labels: NDArray[np.int64], loss: Loss, logger: Logger | None) -> None:
        """Prepare the phase.

        Args:
            state: what the epochs change.
            labels: (M,), of the validation images.
            loss: measured on them.
            logger: told of every epoch.
        """
        self.state, self.labels, self.loss, self.logger = state, labels, loss, logger or Logger()

    @abstractmethod
    def fit_epoch(self, epoch: int) -> tuple[float, float]:
        """Mean loss and accuracy over the training images, as they were shown while the weights changed."""

    @abstractmethod
    def validation_logits(self) -> Tensor:
        """(M, K), by the weights that would be kept."""

    @abstractmethod
    def after_epoch(self, row: Epoch) -> None:
        """What else is done once an epoch has been taken into the state."""

    def run(self) -> tuple[Epoch, ...]:
        """Run the epochs that are left and keep the best one's weights.

        Returns:
            One row per epoch, those before a restored checkpoint among them.

        Raises:
            TrainingDiverged: the loss is no longer a number.
        """
        state, progress = self.state, self.state.progress
        for row in progress.rows:
            self.logger.add(row)
        while len(progress.rows) < progress.settings.epochs and not progress.exhausted:
            started, epoch = time.perf_counter(), len(progress.rows) + 1
            learning_rate = float(state.schedule.get_last_lr()[0])
            fitted = self.fit_epoch(epoch)
            found = validate(self.validation_logits(), self.labels, self.loss)
            row = Epoch(self.name, epoch, *fitted, *found, learning_rate, time.perf_counter() - started)
            if progress.add(row):
                state.take_best()
            if isinstance(state.schedule, ReduceLROnPlateau):
                state.schedule.step(row.validation_loss)
            else:
                state.schedule.step()
            self.after_epoch(row)
            self.logger.add(row)
        state.network.load_state_dict(state.best)
        return tuple(progress.rows)
