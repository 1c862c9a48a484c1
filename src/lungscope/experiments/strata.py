"""Hidden strata: runs of patient numbers that a model calls wrongly unless it has seen them, held out as a test.

Where pictures of one class come from one device and those of the other from another, a test split drawn
at random has the same mixture as the training split and shows nothing. A few pictures usually break the rule,
and numbers that were given one after another keep them together (hidden stratification: Oakden-Rayner et
al. 2020). They are found here by what a head on frozen features says of patients it has not seen.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.config.recipe import Recipe
from lungscope.data.dataset import Dataset, DataSource, load
from lungscope.data.manifest import Manifest
from lungscope.data.split import assign_splits
from lungscope.data.strata import series_of
from lungscope.errors import DataError
from lungscope.stats.patients import patient_index
from lungscope.stats.scan import low_runs
from lungscope.training.features import plain_features
from lungscope.training.hard_examples import cross_fitted
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.leave_out import frozen_embedder

DEPTH = 1.0
"""Standard deviations by which a run must lie lower than its series: a stratum of its own, not a drift."""


@dataclass(frozen=True)
class HiddenStratum:
    """Consecutive numbers of a series that a model gets wrong more often than the rest of it."""

    series: str
    first: int
    last: int
    """Numbers of the patients."""
    patients: int
    rows: NDArray[np.int64]
    """Indices into the table."""
    right: float
    """Share of its images that a head gets right that has not seen their patients."""
    elsewhere: float
    """The same share in the rest of the series."""
    p: float


@dataclass(frozen=True)
class Hidden:
    """A table whose hidden strata are held out, and what they are."""

    strata: tuple[HiddenStratum, ...]
    table: Manifest
    """With splits; its column `stratum` names the hidden ones."""


def hidden_strata(source: Path, recipe: Recipe, *, weights: str = "imagenet", device: str = "auto") -> Hidden:
    """Find hidden strata of a data set, and split it so that they and other patients are the test split.

    All patients of a hidden stratum are held out; the others are dealt by patient as the recipe says.

    Args:
        source: class folders, or a CSV, whose file names tell series and number of each patient.
        recipe: its image size, network, seed and fractions of the split count here.
        weights: of the backbone: "imagenet", or a safetensors file.
        device: "auto", "cpu" or "cuda".

    Raises:
        DataError: the names tell no numbers.
        ManifestError: the data are not a data set, or too few patients are left to split.
    """
    data = load(DataSource(source, recipe.data.patient_pattern, recipe.data.label_pattern), recipe.image.size)
    known = [series_of(path.name) for path in data.manifest.paths]
    if not any(series for series, _ in known):
        raise DataError(
            f"{source}: no file name has a number, so no order of patients is known. Name the files as "
            "SERIES-NUMBER, or hold out images that you know to differ in the CSV's split column."
        )
    margins = _margins(data, recipe, weights, device)
    strata = tuple(
        stratum
        for name in sorted({series for series, _ in known if series})
        for stratum in _of_series(name, known, margins, recipe.seed)
    )
    return Hidden(strata, _held_out(data.manifest, strata, recipe))


def _margins(data: Dataset, recipe: Recipe, weights: str, device: str) -> NDArray[np.float64]:
    """Log odds (N,) of each image's own class, by heads that have not seen its patient."""
    images, labels = LabelledImages.of(data, data.rows("all")), data.manifest.labels
    embed = frozen_embedder(len(data.manifest.classes), recipe, weights=weights, device=device)
    features = plain_features(images, embed)
    own = cross_fitted(features, labels, images.patients, recipe.seed).clip(1e-12, 1 - 1e-12)
    odds: NDArray[np.float64] = np.log(own / (1 - own))
    return odds


def _of_series(name: str, known: list[tuple[str, int]], margins: NDArray[np.float64], seed: int) -> list[HiddenStratum]:
    rows = np.array([row for row, (series, _) in enumerate(known) if series == name])
    numbers, patient = np.unique([known[row][1] for row in rows], return_inverse=True)
    values = np.bincount(patient, margins[rows]) / np.bincount(patient)
    strata: list[HiddenStratum] = []
    for run in low_runs(values, depth=DEPTH, seed=seed):
        inside, right = np.isin(patient, run.cases), margins[rows] > 0
        strata.append(HiddenStratum(
            name, int(numbers[run.cases[0]]), int(numbers[run.cases[-1]]), len(run.cases), rows[inside],
            float(right[inside].mean()), float(right[~inside].mean()), run.p,
        ))  # fmt: skip
    return strata


def _held_out(manifest: Manifest, strata: tuple[HiddenStratum, ...], recipe: Recipe) -> Manifest:
    names = np.full(len(manifest), "", dtype=object)
    for found in strata:
        names[found.rows] = f"{found.series} hidden"
    patients = patient_index(manifest.patients)
    rest = ~np.isin(patients, patients[names != ""])
    dealt, _ = assign_splits(manifest.select(rest), recipe.data.model_copy(update={"split": "patients"}), recipe.seed)
    splits = np.full(len(manifest), "test", dtype=object)
    splits[rest] = dealt.splits
    extra = {**manifest.extra, "stratum": tuple(names.tolist())}
    return replace(manifest, splits=tuple(splits.tolist()), extra=extra)
