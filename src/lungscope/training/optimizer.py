"""Optimiser and schedule of the learning rate, by their settings."""

from collections.abc import Iterable

from torch import nn, optim
from torch.optim import lr_scheduler

from lungscope.config.settings import PhaseSettings


def build_optimizer(parameters: Iterable[nn.Parameter], settings: PhaseSettings) -> optim.Optimizer:
    """AdamW, or Adam, whose weight decay is an L2 penalty."""
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    kind = optim.AdamW if settings.optimizer == "adamw" else optim.Adam
    return kind(learned, settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def build_schedule(optimizer: optim.Optimizer, settings: PhaseSettings) -> lr_scheduler.LRScheduler:
    """How the rate changes from epoch to epoch."""
    if settings.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, max(settings.epochs, 1))
    if settings.schedule == "plateau":
        factor, patience = settings.plateau_factor, settings.plateau_patience
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience)
    return lr_scheduler.ConstantLR(optimizer, factor=1.0)
