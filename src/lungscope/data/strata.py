"""Strata: images of a data set that may differ as another hospital does, from file names, a column or clusters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungscope.data.manifest import Manifest

# Series and number of a patient: Kermany's pneumonia and normal series, else any text before a number.
SERIES = (
    re.compile(r"^(?P<series>person)(?P<number>\d+)_(?P<kind>[a-z]+)_"),
    re.compile(r"^(?P<series>(?:NORMAL\d*-)?IM)-(?P<number>\d+)"),
    re.compile(r"^(?P<series>\D*)(?P<number>\d+)"),
)
COLUMNS = ("stratum", "site", "hospital", "device", "series")
FEWEST = 20
"""Patients below which a stratum that was cut here is too small to be measured."""
FEWEST_NAMED = 10
"""The same of a stratum that a column names, which somebody wants to be measured."""
QUARTERS = 4


@dataclass(frozen=True)
class Stratum:
    """Images of a data set that belong together."""

    name: str
    kind: str
    """"series", "lowest numbers", "numbers", "cluster", or the column it comes from."""
    rows: NDArray[np.int64]
    """Indices into the table."""


def find_strata(manifest: Manifest) -> tuple[Stratum, ...]:
    """Strata that names and columns give; none where they give none.

    Each series, its patients of the lowest fifth of numbers, and its quarters by number; and the lowest
    fifths of all series together, which is how some published test folders were cut off. Strata with fewer
    than 20 patients are left out, and those of a column with fewer than 10.
    """
    gathered = list(_columns(manifest))
    found = [series_of(path.name) for path in manifest.paths]
    names = sorted({series for series, _ in found if series})
    for name in names:
        rows = np.array([i for i, (series, _) in enumerate(found) if series == name])
        numbers = np.array([found[i][1] for i in rows])
        if len(names) > 1:
            gathered.append(Stratum(name, "series", rows))
        gathered += _by_number(name, rows, numbers)
    lowest = [stratum.rows for stratum in gathered if stratum.kind == "lowest numbers"]
    if len(lowest) > 1:
        gathered.append(Stratum("lowest numbers of every series", "lowest numbers", np.sort(np.concatenate(lowest))))
    return tuple(stratum for stratum in gathered if _is_enough(manifest, stratum))


def series_of(name: str) -> tuple[str, int]:
    """Series and number of the patient that a file name tells; "" and 0 when it tells none."""
    for pattern in SERIES:
        if found := pattern.match(name):
            parts = found.groupdict()
            series = "-".join(part for part in (parts["series"], parts.get("kind")) if part)
            return series.rstrip("-_ ") or "unnamed", int(parts["number"])
    return "", 0


def clusters(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], classes: Sequence[str], *, k: int = 4, seed: int = 0
) -> tuple[Stratum, ...]:
    """Strata of each class whose embeddings (N, D) are alike, by k-means on principal components.

    Args:
        embeddings: (N, D).
        labels: (N,).
        classes: their names.
        k: clusters per class; fewer where a class is small.
        seed: of k-means.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    gathered = []
    for label, name in enumerate(classes):
        rows = np.flatnonzero(labels == label)
        n = min(k, len(rows) // FEWEST)
        if n < 2:
            continue
        own = embeddings[rows]
        components = min(16, len(rows), own.shape[1])
        reduced = PCA(components, random_state=seed).fit_transform(own)
        which = KMeans(n, n_init=4, random_state=seed).fit_predict(reduced)
        gathered += [Stratum(f"{name} cluster {i + 1}", "cluster", rows[which == i]) for i in range(n)]
    return tuple(stratum for stratum in gathered if len(stratum.rows) >= FEWEST)


def _columns(manifest: Manifest) -> list[Stratum]:
    return [
        Stratum(f"{column} {value}", column, np.flatnonzero(np.array(manifest.extra[column]) == value))
        for column in COLUMNS
        if column in manifest.extra
        for value in sorted(set(manifest.extra[column]) - {""})
    ]


def _by_number(name: str, rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> list[Stratum]:
    known = np.unique(numbers)
    if len(known) < QUARTERS * FEWEST:
        return []
    lowest = known[: len(known) // 5]
    gathered = [Stratum(f"{name}, lowest numbers", "lowest numbers", rows[np.isin(numbers, lowest)])]
    for i, quarter in enumerate(np.array_split(known, QUARTERS)):
        gathered.append(Stratum(f"{name}, quarter {i + 1} by number", "numbers", rows[np.isin(numbers, quarter)]))
    return gathered


def _is_enough(manifest: Manifest, stratum: Stratum) -> bool:
    patients = {manifest.patients[row] for row in stratum.rows}
    fewest = FEWEST_NAMED if stratum.kind in COLUMNS else FEWEST
    return fewest <= len(patients) and len(stratum.rows) < len(manifest)
