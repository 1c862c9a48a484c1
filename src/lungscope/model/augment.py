"""Augmentation of a whole batch at once, on the device, reproducible from a generator."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lungscope.config import AugmentSettings


@dataclass(frozen=True)
class Changes:
    """What is to be done to each of N images."""

    placements: Tensor
    """(N, 2, 3), affine, from output to input coordinates in -1..1."""
    gain: Tensor
    contrast: Tensor
    gamma: Tensor
    """(N,) each."""

    def __getitem__(self, rows: slice) -> "Changes":
        """The changes of some of the images."""
        return Changes(self.placements[rows], self.gain[rows], self.contrast[rows], self.gamma[rows])


def augment(images: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Change every image in its own random way.

    Args:
        images: uint8 (N, H, W).
        settings: the largest change of each kind.
        generator: on the processor, so that a seed gives the same changes on every device.

    Returns:
        uint8 (N, H, W): what the network is shown is always 8-bit, in training as in the clinic.
    """
    return change(images, draw_changes(images.shape[0], settings, generator))


def draw_changes(n: int, settings: AugmentSettings, generator: torch.Generator) -> Changes:
    """Draw what is done to each of `n` images."""
    return Changes(
        _placements(n, settings, generator),
        _between(n, 1 - settings.brightness, 1 + settings.brightness, generator),
        _between(n, 1 - settings.contrast, 1 + settings.contrast, generator),
        torch.exp(_between(n, -settings.gamma, settings.gamma, generator)),
    )


def change(images: Tensor, changes: Changes) -> Tensor:
    """Change uint8 images (N, H, W) as drawn; see `augment`."""
    moved = _move(images.to(torch.float32), changes.placements.to(images.device))
    return _expose(moved, changes).round_().clamp_(0, 255).to(torch.uint8)


def _between(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def _placements(n: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Affine matrices (N, 2, 3) from output to input coordinates in -1..1."""
    angle = _between(n, -settings.rotation_deg, settings.rotation_deg, generator) * (math.pi / 180)
    scale = 1 / _between(n, 1 - settings.zoom, 1 + settings.zoom, generator).clamp_(min=0.05)
    # One unit of the grid is half the image.
    dx = 2 * _between(n, -settings.shift, settings.shift, generator)
    dy = 2 * _between(n, -settings.shift, settings.shift, generator)
    mirror = 1 - 2 * (torch.rand(n, generator=generator) < settings.flip).to(torch.float32)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = torch.stack((cos * mirror, -sin, dx, sin * mirror, cos, dy), dim=1)
    return rows.view(n, 2, 3)


def _move(images: Tensor, placements: Tensor) -> Tensor:
    shape = [images.shape[0], 1, *images.shape[1:]]
    grid = functional.affine_grid(placements, shape, align_corners=False)
    moved = functional.grid_sample(
        images.unsqueeze(1), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return moved.squeeze(1)


def _expose(images: Tensor, changes: Changes) -> Tensor:
    gain, contrast, gamma = (
        factor.to(images.device).view(-1, 1, 1) for factor in (changes.gain, changes.contrast, changes.gamma)
    )
    mean = images.mean((1, 2), keepdim=True)
    exposed = ((images - mean) * contrast + mean) * gain
    if bool((changes.gamma == 1).all()):
        return exposed
    return 255 * (exposed.clamp(0, 255) / 255).pow(gamma)
