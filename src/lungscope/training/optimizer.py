"""Optimiser and schedule of the learning rate, by their settings."""

from collections.abc import Iterable

import torch
from torch import nn

from lungscope.config.settings import PhaseSettings

Schedule = torch.optim.lr_scheduler.LRScheduler


def build_optimizer(parameters: Iterable[nn.Parameter], settings: PhaseSettings) -> torch.optim.Optimizer:
    """AdamW, or Adam, whose weight decay is an L2 penalty."""
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(learned, settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def build_schedule(optimizer: torch.optim.Optimizer, settings: PhaseSettings) -> Schedule:
    """How the rate changes from epoch to epoch."""
    schedules = torch.optim.lr_scheduler
    if settings.schedule == "cosine":
        return schedules.CosineAnnealingLR(optimizer, max(settings.epochs, 1))
    if settings.schedule == "plateau":
        return schedules.ReduceLROnPlateau(
            optimizer, factor=settings.plateau_factor, patience=settings.plateau_patience
        )
    return schedules.ConstantLR(optimizer, factor=1.0)


def step(schedule: Schedule, validation_loss: float) -> None:
    """End of an epoch."""
    if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
        schedule.step(validation_loss)
    else:
        schedule.step()


def rate(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of the coming steps."""
    return float(optimizer.param_groups[0]["lr"])
