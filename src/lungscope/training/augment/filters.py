"""Changes of grey values and detail for whole batches on the device: histogram, blur, noise, compression."""

import math

import torch
from torch import Tensor
from torch.nn import functional

# Luminance table of JPEG (ITU-T T.81, annex K.1), to be scaled by the quality as libjpeg does.
_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


def equalise(images: Tensor, tiles: int, clip: float) -> Tensor:
    """Histogram equalisation, within tiles and limited (CLAHE, Zuiderveld 1994) or of the whole image.

    Args:
        images: float (N, H, W) in 0..255.
        tiles: per side; 1 for the whole image. Between the centres of tiles the mappings are interpolated.
        clip: no grey value counts for more than this many times the mean of the histogram; 0: no limit.

    Returns:
        float (N, H, W) in 0..255.
    """
    n, height, width = images.shape
    values = images.round().clamp(0, 255).long()
    down, across = (torch.arange(side, device=images.device) * tiles // side for side in (height, width))
    cell = down.view(-1, 1) * tiles + across + (torch.arange(n, device=images.device) * tiles**2).view(-1, 1, 1)
    counts = torch.bincount((cell * 256 + values).flatten(), minlength=n * tiles**2 * 256).float()
    counts = counts.view(n * tiles**2, 256)
    total = counts.sum(1, keepdim=True)
    if clip:
        limited = counts.minimum(clip * total / 256)
        counts = limited + (total - limited.sum(1, keepdim=True)) / 256
    below = counts.cumsum(1)
    # The darkest value there is stays black (as in OpenCV and Pillow).
    first = below.gather(1, (counts > 0).float().argmax(1, keepdim=True)) if not clip else 0 * total
    table = (255 * (below - first) / (total - first).clamp(min=1)).clamp(0, 255)
    return _interpolate(table.view(n, tiles, tiles, 256), values)


def _interpolate(table: Tensor, values: Tensor) -> Tensor:
    """Mapping of each pixel between those of the four nearest tile centres."""
    n, tiles = table.shape[:2]
    _, height, width = values.shape
    image = torch.arange(n, device=values.device).view(-1, 1, 1)
    corners = []
    for side, shape in ((height, (-1, 1)), (width, (1, -1))):
        place = (torch.arange(side, device=values.device) + 0.5) * tiles / side - 0.5
        low = place.floor()
        corners.append([
            (at.long().clamp(0, tiles - 1).view(shape), weight.view(shape))
            for at, weight in ((low, low + 1 - place), (low + 1, place - low))
        ])  # fmt: skip
    out = torch.zeros(values.shape, device=values.device)
    for y, y_weight in corners[0]:
        for x, x_weight in corners[1]:
            out += y_weight * x_weight * table[image, y, x, values]
    return out


def blur(images: Tensor, deviations: Tensor) -> Tensor:
    """Gaussian blur of float images (N, H, W), each with its own deviation (N,) in pixels; 0 leaves it."""
    n, height, width = images.shape
    reach = min(math.ceil(3 * float(deviations.max())), height - 1, width - 1)
    if not reach:
        return images
    steps = torch.arange(-reach, reach + 1, device=images.device)
    kernels = torch.exp(-0.5 * (steps / deviations.clamp(min=1e-3).view(-1, 1)) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    padded = functional.pad(images.unsqueeze(0), (reach, reach, reach, reach), mode="reflect")
    across = functional.conv2d(padded, kernels.view(n, 1, 1, -1), groups=n)
    return functional.conv2d(across, kernels.view(n, 1, -1, 1), groups=n).squeeze(0)


def compress(images: Tensor, quality: Tensor) -> Tensor:
    """What JPEG of a quality (N,) in 1..100 leaves of grey float images (N, H, W) in 0..255."""
    n, height, width = images.shape
    down, across = -height % 8, -width % 8
    padded = functional.pad(images.unsqueeze(1), (0, across, 0, down), mode="replicate").squeeze(1)
    rows, columns = (height + down) // 8, (width + across) // 8
    blocks = padded.view(n, rows, 8, columns, 8).transpose(2, 3) - 128
    cosines, table = _cosines(images.device), torch.tensor(_TABLE, device=images.device)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1, 1)
    steps = ((table * scale + 50) / 100).floor().clamp(1, 255).view(n, 1, 1, 8, 8)
    kept = (cosines @ blocks @ cosines.T / steps).round() * steps
    back = (cosines.T @ kept @ cosines + 128).transpose(2, 3).reshape(n, height + down, width + across)
    return back[:, :height, :width]


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal discrete cosine transform of 8 values, (8, 8)."""
    k, i = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    basis = torch.cos(math.pi * (2 * i + 1) * k / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis.to(device)
