"""Mixup and CutMix: images shown as a mixture of two, with both labels in the same proportion."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lungscope.config.settings import MixSettings


@dataclass(frozen=True)
class Mixture:
    """How the images of one batch are mixed."""

    partner: Tensor
    """(n,), position of each image's other one."""
    share: float
    """Of the image itself, in 0..1."""
    box: tuple[float, float, float, float] | None = None
    """Top, bottom, left, right as parts of the side, where the other image is shown; None: everywhere."""


def draw_mixture(n: int, settings: MixSettings, generator: torch.Generator | None = None) -> Mixture | None:
    """Draw how a batch of `n` images is mixed; None when the recipe mixes none."""
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(settings, kind)]
    if not kinds:
        return None
    kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
    share = _beta(getattr(settings, kind), generator)
    partner = torch.randperm(n, generator=generator)
    return Mixture(partner, share) if kind == "mixup" else _with_box(partner, share, generator)


def label_parts(mine: Tensor, mixture: Mixture | None) -> tuple[tuple[Tensor, float], ...]:
    """Positions in a batch whose labels the images at `mine` (n,) have, each with its proportion."""
    if mixture is None:
        return ((mine, 1.0),)
    return (mine, mixture.share), (mixture.partner[mine], 1 - mixture.share)


def mix(values: Tensor, mine: Tensor, other: Tensor, mixture: Mixture) -> Tensor:
    """Mix images uint8 (M, H, W), or feature vectors (M, C).

    Args:
        values: those of a batch that are at hand.
        mine: (n,), which of them are to be mixed.
        other: (n,), with which.
        mixture: how.
    """
    if mixture.box is None:
        mixed = torch.lerp(values[other].float(), values[mine].float(), mixture.share)
        return mixed if values.is_floating_point() else mixed.round().to(values.dtype)
    height, width = values.shape[-2:]
    sides = zip(mixture.box, (height, height, width, width), strict=True)
    top, bottom, left, right = (round(part * side) for part, side in sides)
    out = values[mine].clone()
    out[:, top:bottom, left:right] = values[other][:, top:bottom, left:right]
    return out


def _with_box(partner: Tensor, share: float, generator: torch.Generator | None) -> Mixture:
    half = (1 - share) ** 0.5 / 2
    y, x = (float(part) for part in torch.rand(2, generator=generator))
    top, bottom = max(0.0, y - half), min(1.0, y + half)
    left, right = max(0.0, x - half), min(1.0, x + half)
    # A box over the border shows less of the other image than was drawn.
    return Mixture(partner, 1 - (bottom - top) * (right - left), (top, bottom, left, right))


def _beta(a: float, generator: torch.Generator | None) -> float:
    # PyTorch's own draws from Beta take no generator; two gammas do.
    shape = torch.full((2,), a)
    gammas = torch._standard_gamma(shape, generator).clamp(min=1e-20)
    return float(gammas[0] / gammas.sum())
