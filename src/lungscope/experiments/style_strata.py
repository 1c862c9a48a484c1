"""Strata of style: images of every class that look alike to a network and unlike the rest of their class.

Held out in turn they ask more than patients at random or runs of numbers do: the patients of both classes that a
head gets wrong unless it has seen others like them. The rule was written down before anything was measured by it.

1. k-means clusters of each class on the features of a frozen ImageNet backbone.
2. A linear head that has seen no patient of a cluster gives log odds of its images' own class.
3. The clusters of each class are ordered by the mean of these, the lowest first. Stratum `style i` is the i-th
   cluster of every class.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.config.recipe import Recipe
from lungscope.data.dataset import DataSource, load
from lungscope.data.manifest import Manifest
from lungscope.data.strata import Stratum, clusters
from lungscope.errors import ConfigError, DataError
from lungscope.stats.patients import patient_index
from lungscope.system.progress import track
from lungscope.training.features import plain_features
from lungscope.training.hard_examples import linear_head
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.leave_out import frozen_embedder

CLUSTERS = 4
"""Of each class."""


@dataclass(frozen=True)
class StyleCluster:
    """Images of one class that look alike."""

    stratum: str
    class_name: str
    rows: NDArray[np.int64]
    """Indices into the table."""
    patients: int
    right: float
    """Share of its images that a head gets right that has seen none of its patients."""
    log_odds: float
    """Mean log odds of the own class, by that head."""


@dataclass(frozen=True)
class StyleStrata:
    """A table whose column `stratum` names strata of style, and the clusters that they are of."""

    clusters: tuple[StyleCluster, ...]
    table: Manifest
    """Without splits: each stratum is held out in turn."""


def style_strata(
    source: Path, n: int, recipe: Recipe, *, weights: str = "imagenet", device: str = "auto"
) -> StyleStrata:
    """The `n` strata of style that a head gets wrong most, unless it has seen them.

    Args:
        source: class folders, or a CSV.
        n: strata, at least 2 and at most `CLUSTERS`.
        recipe: its image size, network, seed and patterns of names count here.
        weights: of the backbone: "imagenet", or a safetensors file.
        device: "auto", "cpu" or "cuda".

    Raises:
        ConfigError: `n` is out of range.
        DataError: a class has too few images for as many clusters.
        ManifestError: the data are not a data set.
    """
    if not 2 <= n <= CLUSTERS:
        raise ConfigError(f"--style {n}: strata of style are held out in turn, from 2 to {CLUSTERS} of them.")
    data = load(DataSource(source, recipe.data.patient_pattern, recipe.data.label_pattern), recipe.image.size)
    manifest, images = data.manifest, LabelledImages.of(data, data.rows("all"))
    embed = frozen_embedder(len(manifest.classes), recipe, weights=weights, device=device)
    features = plain_features(images, embed)
    found = clusters(features, manifest.labels, manifest.classes, k=CLUSTERS, seed=recipe.seed)
    hardest = tuple(
        replace(each, stratum=f"style {i}")
        for label in range(len(manifest.classes))
        for i, each in enumerate(_by_odds(found, label, n, manifest, features), start=1)
    )
    names = np.full(len(manifest), "", dtype=object)
    for each in hardest:
        names[each.rows] = each.stratum
    extra = {**manifest.extra, "stratum": tuple(names.tolist())}
    return StyleStrata(hardest, replace(manifest, splits=("",) * len(manifest), extra=extra))


def _by_odds(
    found: Sequence[Stratum], label: int, n: int, manifest: Manifest, features: NDArray[np.float32]
) -> list[StyleCluster]:
    own = [each for each in found if manifest.labels[each.rows[0]] == label]
    name = manifest.classes[label]
    if len(own) < n:
        raise DataError(
            f"Class {name!r} has too few images for {n} clusters of 20 images. Add images, or hold out patients at "
            "random: lungscope compare --folds 5."
        )
    heads = track(own, f"Clusters of {name}", len(own), "clusters")
    return sorted((_unseen(each, name, manifest, features) for each in heads), key=lambda each: each.log_odds)[:n]


def _unseen(each: Stratum, name: str, manifest: Manifest, features: NDArray[np.float32]) -> StyleCluster:
    """What a head says of a cluster none of whose patients it has seen."""
    patients, labels = patient_index(manifest.patients), manifest.labels
    rest = ~np.isin(patients, patients[each.rows])
    head = linear_head().fit(features[rest], labels[rest])
    log_p = head.predict_log_proba(features[each.rows])
    own = log_p[:, np.searchsorted(head.classes_, labels[each.rows[0]])].clip(-30, -1e-12)
    right = head.predict(features[each.rows]) == labels[each.rows]
    odds = own - np.log(-np.expm1(own))
    return StyleCluster(
        "", name, each.rows, len(set(patients[each.rows].tolist())), float(right.mean()), float(odds.mean())
    )
