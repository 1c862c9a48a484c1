"""First phase: the backbone is frozen and a regularised head learns on its features."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungscope.config.recipe import Recipe
from lungscope.networks.network import Head
from lungscope.system.progress import Bar
from lungscope.training.augment.mixup import draw_mixture, label_parts, mix
from lungscope.training.checkpoint import State
from lungscope.training.history import Epoch, check_finite
from lungscope.training.imbalance import Plan, batches, smote
from lungscope.training.loggers import Logger
from lungscope.training.optimizer import build_optimizer
from lungscope.training.phase import Phase


@dataclass(frozen=True, eq=False)
class HeadData:
    """Pooled features that a head learns from, as the backbone gives them."""

    features: NDArray[np.float32]
    """(V, N, C), of V views of the training images."""
    labels: NDArray[np.int64]
    """(N,)."""
    validation_features: NDArray[np.float32]
    """(M, C), of the validation images as they are."""
    validation_labels: NDArray[np.int64]
    """(M,)."""
    fresh: Callable[[int], NDArray[np.float32]] | None = None
    """Features (N, C) of the given epoch, from the second on; without it all views serve all epochs."""


def train_head(
    head: Head, data: HeadData, recipe: Recipe, plan: Plan, logger: Logger | None = None
) -> tuple[Epoch, ...]:
    """Train `head` in place and keep its best epoch on validation.

    Args:
        head: untrained; its weights are replaced by the best ones.
        data: what it learns from.
        recipe: its `head`, `seed` and `mix` count here: feature vectors are mixed (manifold mixup, Verma et al. 2019).
        plan: what is done about classes of unequal size.
        logger: told of every epoch.

    Returns:
        One row per epoch.

    Raises:
        TrainingDiverged: the loss is no longer a number.
    """
    with Bar("Head", recipe.head.epochs, "epochs") as bar:
        phase = _HeadPhase(head, data, recipe, plan, logger, bar)
        epochs = phase.run()
    phase.fold_standardisation()
    return epochs


class _HeadPhase(Phase):
    name = "head"

    def __init__(self, head: Head, data: HeadData, recipe: Recipe, plan: Plan, logger: Logger | None, bar: Bar) -> None:
        self.head, self.plan, self.bar, self.fresh = head, plan, bar, data.fresh
        self.mixing = recipe.mix.model_copy(update={"cutmix": 0.0})  # which needs pixels
        x = torch.from_numpy(data.features.reshape(-1, data.features.shape[-1]))
        self.mean, self.deviation = x.mean(0), x.std(0) + 1e-3
        self.x, self.y = self._standardised(x), torch.from_numpy(np.tile(data.labels, len(data.features)))
        self.validation = self._standardised(torch.from_numpy(data.validation_features))
        if plan.smote:
            self.x, self.y = smote(self.x, self.y, recipe.seed)
        torch.manual_seed(recipe.seed)
        state = State(head, build_optimizer(head.parameters(), recipe.head), recipe.head)
        super().__init__(state, data.validation_labels, plan.validation_loss, logger)

    def fit_epoch(self, epoch: int) -> tuple[float, float]:
        if self.fresh is not None and epoch > 1:
            self.x = self._standardised(torch.from_numpy(self.fresh(epoch)))
        self.head.train()
        settings, optimizer = self.state.settings, self.state.optimizer
        total, correct, seen = 0.0, 0, 0
        for rows in batches(self.y, settings.batch, self.plan.sampling):
            mixture, places = draw_mixture(len(rows), self.mixing), torch.arange(len(rows))
            x = self.x[rows]
            logits = self.head(x if mixture is None else mix(x, places, mixture.partner, mixture))
            loss = torch.zeros(())
            for positions, proportion in label_parts(places, mixture):
                loss = loss + proportion * self.plan.loss(logits, self.y[rows[positions]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = float(loss.detach())
            check_finite(value, self.name, epoch, settings)
            total, seen = total + value * len(rows), seen + len(rows)
            correct += int((logits.argmax(1) == self.y[rows]).sum())
        return total / seen, correct / seen

    def validation_logits(self) -> Tensor:
        with torch.inference_mode():
            return cast(Tensor, self.head.eval()(self.validation))

    def after_epoch(self, row: Epoch) -> None:
        self.bar.advance(loss=row.train_loss, auroc=row.validation_auroc)

    @torch.no_grad()
    def fold_standardisation(self) -> None:
        """Make the head take features as the backbone gives them."""
        first = cast(nn.Linear, self.head.hidden[0]) if len(self.head.hidden) else self.head.output
        first.weight.div_(self.deviation)
        first.bias.sub_(first.weight @ self.mean)

    def _standardised(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation
