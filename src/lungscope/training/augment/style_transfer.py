"""Pictures shown in the style of others: contrast at every scale and grey values are theirs, what is seen is not.

Where a device or a ward photographs one class only, how a picture is made tells the class, and a network
learns that. A network that sees every patient in the style of every device cannot. The exchange of style
between images is that of Fourier amplitudes (Xu et al. 2021, "A Fourier-based framework for domain
generalization"), here of the bands of a Laplacian pyramid and of the histogram, which are what exposure
and post-processing of radiographs change.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lungscope.training.labelled_images import LabelledImages

LEVELS = 4
GAIN = 4.0
"""Most by which a band is raised or lowered."""


@dataclass(frozen=True)
class Styles:
    """Whose style each of N images is shown in."""

    partner: Tensor
    """(N,), positions among the training images."""
    chosen: Tensor
    """(N,), bool; the others keep their own."""

    def __getitem__(self, rows: slice | Tensor) -> "Styles":
        """The styles of some of the images."""
        return Styles(self.partner[rows], self.chosen[rows])


def draw_styles(n: int, among: int, probability: float, generator: torch.Generator) -> Styles:
    """Draw for `n` images partners among so many training images, and for which of them that counts."""
    chosen = torch.rand(n, generator=generator) < probability
    return Styles(torch.randint(among, (n,), generator=generator), chosen)


def in_styles(shown: Tensor, styles: Styles, training: LabelledImages) -> Tensor:
    """Images uint8 (N, H, W), those among them in another's style for which one was drawn."""
    rows = torch.where(styles.chosen)[0]
    if not len(rows):
        return shown
    others = torch.from_numpy(training.batch(styles.partner[rows].numpy())).to(shown.device)
    out = shown.clone()
    out[rows] = restyle(shown[rows], others)
    return out


def restyle(images: Tensor, others: Tensor) -> Tensor:
    """Show images in the style of others.

    Args:
        images: uint8 (N, H, W).
        others: uint8 (N, H, W), of the same size.

    Returns:
        uint8 (N, H, W).
    """
    mine, theirs = (_bands(part.float()) for part in (images, others))
    shown = mine[-1]
    for own, other in zip(mine[-2::-1], theirs[-2::-1], strict=True):
        gain = (_spread(other) / _spread(own)).clamp(1 / GAIN, GAIN)
        shown = _enlarged(shown, own) + gain * own
    return _matched(shown.round_().clamp_(0, 255).long(), others.long()).to(torch.uint8)


def _bands(images: Tensor) -> list[Tensor]:
    """Laplacian pyramid (Burt and Adelson 1983): details from fine to coarse, and what is left."""
    bands = []
    for _ in range(LEVELS):
        halved = functional.avg_pool2d(images.unsqueeze(1), 2, ceil_mode=True, count_include_pad=False)
        bands.append(images - _enlarged(halved.squeeze(1), images))
        images = halved.squeeze(1)
    return [*bands, images]


def _enlarged(images: Tensor, to: Tensor) -> Tensor:
    return functional.interpolate(images.unsqueeze(1), to.shape[1:], mode="bilinear", align_corners=False).squeeze(1)


def _spread(band: Tensor) -> Tensor:
    return band.std((1, 2), keepdim=True, correction=0).clamp(min=0.1)  # flat pictures have none


def _matched(levels: Tensor, others: Tensor) -> Tensor:
    """Grey values of the same rank in the others: histogram matching, equal values staying equal."""
    own, theirs = (_histogram(part) for part in (levels, others))
    table = torch.searchsorted(theirs.cumsum(1), own.cumsum(1) - own / 2).clamp(max=255)
    return table.gather(1, levels.flatten(1)).view_as(levels)


def _histogram(levels: Tensor) -> Tensor:
    """(N, 256) of integer grey values (N, H, W)."""
    n = levels.shape[0]
    rows = 256 * torch.arange(n, device=levels.device).view(-1, 1, 1)
    return torch.bincount((levels + rows).flatten(), minlength=256 * n).view(n, 256).double()
