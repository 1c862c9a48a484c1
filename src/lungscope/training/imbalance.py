"""Classes of unequal size: what is shown how often, with what weight, and by what factor that shifts the odds.

| `imbalance`        | what is done                                                                     |
| ------------------ | -------------------------------------------------------------------------------- |
| `none`             | nothing                                                                          |
| `class-weights`    | every class counts the same in the loss                                          |
| `oversample`       | augmented copies of the smaller classes, until all are as large as the largest   |
| `oversample-sites` | the same of every class of every site: the site no longer tells the class        |
| `balanced-batches` | every batch draws the same number of each class                                  |
| `focal`            | easy examples count less (Lin et al. 2017)                                       |
| `smote`            | synthetic feature vectors between neighbours of the same class (Chawla et al. 2002) |

All but `none` and `focal` teach the network another class balance than the one there is. The learned odds
are then the true ones times a known factor, which is taken out of the output bias after training (Elkan
2001), so that probabilities refer to the classes as they occur. Focal loss leaves the balance as it is; it
makes probabilities too moderate, which calibration on validation images fixes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungscope.config.recipe import Recipe
from lungscope.errors import ConfigError, DataError, RuntimeUnavailable
from lungscope.networks.network import Network
from lungscope.training.loss import Loss

NEIGHBOURS = 5


@dataclass(frozen=True)
class Plan:
    """How a training deals with classes of unequal size."""

    rows: NDArray[np.int64]
    """(N',), positions of the training images to show; repeated ones stand at the end."""
    originals: int
    """How many of `rows` are the images themselves; the others are copies, always augmented."""
    factor: Tensor
    """(K,), by how much the training counts each class more than it occurs, up to a common factor."""
    loss: Loss
    validation_loss: Loss
    """The same quantity on validation images, which are as they occur."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    smote: bool = False


def plan(labels: NDArray[np.int64], n_classes: int, recipe: Recipe, sites: NDArray[np.object_] | None = None) -> Plan:
    """Decide what `recipe.imbalance` means for training labels (N,) of images from sites (N,).

    Raises:
        ConfigError: it is about sites, and none are known.
    """
    kind, settings = recipe.imbalance, recipe.loss
    ones, balanced = torch.ones(n_classes), balanced_weights(labels, n_classes)
    factor = ones if kind in ("none", "focal") else balanced
    gamma = settings.focal_gamma if kind == "focal" else 0.0
    rows = np.arange(len(labels))
    copies = rows[:0]
    if kind.startswith("oversample"):
        copies = _copies(labels if kind == "oversample" else _site_and_class(labels, sites), recipe.seed)
    if kind == "oversample-sites":  # a class that fewer sites have is shown less often
        shown = np.bincount(labels[copies], minlength=n_classes) + np.bincount(labels, minlength=n_classes)
        factor = balanced * torch.from_numpy(shown / shown.mean()).float()
    return Plan(
        np.concatenate((rows, copies)),
        len(rows),
        factor,
        Loss(balanced if kind == "class-weights" else ones, settings.label_smoothing, gamma),
        Loss(factor, settings.label_smoothing, gamma),
        "balanced" if kind == "balanced-batches" else "shuffled",
        kind == "smote",
    )


def balanced_weights(labels: NDArray[np.int64], n_classes: int) -> Tensor:
    """Weights (K,) under which every class counts the same in the loss, N / (K · n_k)."""
    counts = np.bincount(labels, minlength=n_classes)
    return torch.from_numpy(len(labels) / (n_classes * np.maximum(counts, 1))).float()


def batches(labels: Tensor, size: int, sampling: str, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
    """Positions 0..N-1 of one epoch in batches of `size`.

    Args:
        labels: (N,).
        size: of a batch; the last one may be smaller when shuffled.
        sampling: "shuffled" takes every position once. "balanced" gives every class the same number of
            places in each batch (one more or less where they do not divide); small classes come again.
        generator: the source of chance; PyTorch's own when there is none.
    """
    if sampling == "shuffled":
        return tuple(torch.randperm(len(labels), generator=generator).split(size))
    present = labels.unique()
    places = torch.arange(max(1, len(labels) // size) * size) % len(present)
    order = torch.empty_like(places)
    for k, label in enumerate(present):
        rows, wanted = torch.where(labels == label)[0], int((places == k).sum())
        passes = [torch.randperm(len(rows), generator=generator) for _ in range(-(-wanted // len(rows)))]
        order[places == k] = rows[torch.cat(passes)[:wanted]]
    return tuple(order.split(size))


def smote(features: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Synthetic rows for the smaller classes, until all are as large as the largest.

    Args:
        features: (N, C), standardised.
        labels: (N,).
        seed: of the choice of neighbours.

    Raises:
        DataError: a class has a single row, which has no neighbour.
        RuntimeUnavailable: imbalanced-learn is not installed.
    """
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError:
        raise RuntimeUnavailable("SMOTE needs imbalanced-learn. Run: pip install 'lungscope[train]'.") from None
    _, counts = labels.unique(return_counts=True)
    if int(counts.min()) < 2:
        raise DataError("imbalance = 'smote' needs at least 2 training images of every class. Choose class-weights.")
    sampler = SMOTE(random_state=seed, k_neighbors=min(NEIGHBOURS, int(counts.min()) - 1))
    x, y = sampler.fit_resample(features.numpy(), labels.numpy())
    return torch.from_numpy(x), torch.from_numpy(y)


def undo_balance(network: Network, factor: Tensor) -> None:
    """Take the factor (K,) by which training changed the class balance out of the output bias."""
    shift = factor.log()
    bias = network.head.output.bias
    with torch.no_grad():
        bias.sub_(shift[1:] - shift[:1] if network.head.sigmoid else shift)


def _site_and_class(labels: NDArray[np.int64], sites: NDArray[np.object_] | None) -> NDArray[np.int64]:
    """(N,), one number for each class of each site."""
    if sites is None:
        raise ConfigError(
            "imbalance = 'oversample-sites', and the data name no site. Add a column 'site' to the CSV, or set "
            "imbalance = 'oversample'."
        )
    site = np.unique(sites.astype(str), return_inverse=True)[1]
    groups: NDArray[np.int64] = np.unique(site * (1 + labels.max()) + labels, return_inverse=True)[1]
    return groups


def _copies(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Positions to show once more: whole passes over a small class, then a random part of it."""
    rng, counts = np.random.default_rng(seed), np.bincount(labels)
    copies = []
    for label in np.flatnonzero(counts):
        rows, missing = np.flatnonzero(labels == label), int(counts.max() - counts[label])
        whole, part = divmod(missing, len(rows))
        copies += [np.tile(rows, whole), np.sort(rng.choice(rows, part, replace=False))]
    return np.concatenate(copies)
