"""Augmentation of a whole batch at once, on the device, reproducible from a generator."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lungscope.config import AugmentSettings


def augment(images: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Change every image in its own random way.

    Args:
        images: uint8 (N, H, W).
        settings: the largest change of each kind.
        generator: on the processor, so that a seed gives the same changes on every device.

    Returns:
        uint8 (N, H, W): what the network is shown is always 8-bit, in training as in the clinic.
    """
    n = images.shape[0]
    moved = _move(images.to(torch.float32), _placements(n, settings, generator).to(images.device))
    return _expose(moved, settings, generator).round_().clamp_(0, 255).to(torch.uint8)


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


def _expose(images: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    n = images.shape[0]

    def factor(reach: float) -> Tensor:
        return _between(n, 1 - reach, 1 + reach, generator).to(images.device).view(n, 1, 1)

    gain, contrast = factor(settings.brightness), factor(settings.contrast)
    gamma = torch.exp(_between(n, -settings.gamma, settings.gamma, generator)).to(images.device).view(n, 1, 1)
    mean = images.mean((1, 2), keepdim=True)
    exposed = ((images - mean) * contrast + mean) * gain
    return 255 * (exposed.clamp(0, 255) / 255).pow(gamma) if settings.gamma else exposed
