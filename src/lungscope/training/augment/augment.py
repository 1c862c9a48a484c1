"""Augmentation of a whole batch at once, on the device, reproducible from a generator."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from lungscope.config.settings import AugmentSettings
from lungscope.training.augment.filters import blur, compress, equalise

CROP_ASPECT = math.log(4 / 3)
TILES, CLIP = 8, 3.0
"""Of CLAHE: tiles per side, and the limit as a multiple of the mean."""


@dataclass(frozen=True)
class Changes:
    """What is to be done to each of N images."""

    placements: Tensor
    """(N, 2, 3), affine, from output to input coordinates in -1..1."""
    gain: Tensor
    contrast: Tensor
    gamma: Tensor
    """(N,) each."""
    equalise: Tensor
    """(N,), 0: not; 1: the whole image; 2: within tiles."""
    blur: Tensor
    """(N,), deviation in pixels."""
    noise: Tensor
    """(N,), deviation in grey values."""
    noise_seed: Tensor
    """(N,)."""
    quality: Tensor
    """(N,), of JPEG; 100: not compressed."""
    cutout: Tensor
    """(N, 3), centre and side of a square, as parts of the image's side; side 0: none."""

    def __getitem__(self, rows: slice | Tensor) -> "Changes":
        """The changes of some of the images."""
        return Changes(*(getattr(self, column.name)[rows] for column in fields(self)))

    def to(self, device: torch.device) -> "Changes":
        """The same changes on a device."""
        return Changes(*(getattr(self, column.name).to(device) for column in fields(self)))


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
    drawn = Changes(
        _placements(n, settings, generator),
        _between(n, 1 - settings.brightness, 1 + settings.brightness, generator),
        _between(n, 1 - settings.contrast, 1 + settings.contrast, generator),
        torch.exp(_between(n, -settings.gamma, settings.gamma, generator)),
        *_filters(n, settings, generator),
    )
    if not settings.p_identity:
        return drawn
    same = torch.rand(n, generator=generator) < settings.p_identity
    off = AugmentSettings(**dict.fromkeys(AugmentSettings.model_fields, 0.0))
    identity = draw_changes(n, off, torch.Generator())
    columns = ((getattr(identity, column.name), getattr(drawn, column.name)) for column in fields(Changes))
    return Changes(*(torch.where(same.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in columns))


def change(images: Tensor, changes: Changes) -> Tensor:
    """Change uint8 images (N, H, W) as drawn; see `augment`."""
    changes = changes.to(images.device)
    moved = _move(images.to(torch.float32), changes.placements)
    shown = _expose(_equalise(moved, changes.equalise), changes)
    return _degrade(shown, changes).round_().clamp_(0, 255).to(torch.uint8)


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
    aspect, wider = settings.aspect, torch.ones(n)
    if aspect:
        wider = torch.exp(_between(n, -aspect, aspect, generator) / 2)
    rows = torch.stack((cos * mirror * wider, -sin / wider, dx, sin * mirror * wider, cos / wider, dy), dim=1)
    return _crop(rows.view(n, 2, 3), settings.crop, generator) if settings.crop else rows.view(n, 2, 3)


def _crop(placements: Tensor, crop: float, generator: torch.Generator) -> Tensor:
    """The same placements (N, 2, 3) within a rectangle of the input, one for each image."""
    n = len(placements)
    area = _between(n, 1 - crop, 1, generator)
    ratio = torch.exp(_between(n, -CROP_ASPECT, CROP_ASPECT, generator))
    sides = torch.stack(((area * ratio).sqrt(), (area / ratio).sqrt()), dim=1).clamp_(max=1)
    centre = (1 - sides) * (2 * torch.rand(n, 2, generator=generator) - 1)
    cropped = placements * sides[:, :, None]
    cropped[:, :, 2] += centre
    return cropped


def _filters(n: int, settings: AugmentSettings, generator: torch.Generator) -> tuple[Tensor, ...]:
    """What follows `gamma` in `Changes`. Nothing is drawn for what is off, so older recipes see the same."""
    zeros = torch.zeros(n)
    kind, seed, square = zeros, zeros.long(), torch.zeros(n, 3)
    if settings.equalise:
        kind = (torch.rand(n, generator=generator) < settings.equalise) * torch.randint(1, 3, (n,), generator=generator)
    blurred, noisy, lossy = (
        _now_and_then(n, largest, generator) if largest else zeros
        for largest in (settings.blur, 255 * settings.noise, 100 * settings.jpeg)
    )
    if settings.noise:
        seed = torch.randint(2**31, (n,), generator=generator)
    if settings.cutout:
        square = torch.rand(n, 3, generator=generator)
        square[:, 2] = _now_and_then(n, settings.cutout, generator)
    return kind, blurred, noisy, seed, (100 - lossy).clamp(1, 100), square


def _now_and_then(n: int, largest: float, generator: torch.Generator) -> Tensor:
    """0 for half of the images; up to `largest` for the others."""
    return _between(n, -largest, largest, generator).clamp_(min=0)


def _equalise(images: Tensor, kind: Tensor) -> Tensor:
    for which, tiles, clip in ((1, 1, 0.0), (2, TILES, CLIP)):
        rows = torch.where(kind == which)[0]
        if len(rows):
            images[rows] = equalise(images[rows], tiles, clip)
    return images


def _degrade(images: Tensor, changes: Changes) -> Tensor:
    """Detail, noise, compression and missing parts, each only where it was drawn."""
    if bool((changes.cutout[:, 2] > 0).any()):
        images = _cut_out(images, changes.cutout)
    rows = torch.where(changes.blur > 0)[0]
    if len(rows):
        images[rows] = blur(images[rows], changes.blur[rows])
    rows = torch.where(changes.noise > 0)[0]
    if len(rows):
        # A stream for each image, so that its noise does not depend on its neighbours in the batch.
        streams = (torch.Generator().manual_seed(int(seed)) for seed in changes.noise_seed[rows])
        noise = torch.stack([torch.randn(images.shape[1:], generator=stream) for stream in streams])
        images[rows] += noise.to(images.device) * changes.noise[rows].view(-1, 1, 1)
    rows = torch.where(changes.quality < 100)[0]
    if len(rows):
        images[rows] = compress(images[rows].clamp(0, 255), changes.quality[rows])
    return images


def _cut_out(images: Tensor, squares: Tensor) -> Tensor:
    height, width = images.shape[1:]
    y = ((torch.arange(height, device=images.device) + 0.5) / height).view(1, -1, 1)
    x = ((torch.arange(width, device=images.device) + 0.5) / width).view(1, 1, -1)
    middle_y, middle_x, side = (squares[:, i].view(-1, 1, 1) for i in range(3))
    inside = ((y - middle_y).abs() < side / 2) & ((x - middle_x).abs() < side / 2)
    return torch.where(inside, images.mean((1, 2), keepdim=True), images)


def _move(images: Tensor, placements: Tensor) -> Tensor:
    shape = [images.shape[0], 1, *images.shape[1:]]
    grid = functional.affine_grid(placements, shape, align_corners=False)
    return functional.grid_sample(images.unsqueeze(1), grid, align_corners=False).squeeze(1)


def _expose(images: Tensor, changes: Changes) -> Tensor:
    gain, contrast, gamma = (factor.view(-1, 1, 1) for factor in (changes.gain, changes.contrast, changes.gamma))
    mean = images.mean((1, 2), keepdim=True)
    exposed = ((images - mean) * contrast + mean) * gain
    if bool((changes.gamma == 1).all()):
        return exposed
    return 255 * (exposed.clamp(0, 255) / 255).pow(gamma)
