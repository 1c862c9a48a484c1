"""A table of labelled scores of any origin, such as another framework's or a vendor's."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.data.manifest import order_classes
from lungscope.data.table import NO_LABEL, PATIENT_COLUMNS, read_cells
from lungscope.errors import ManifestError
from lungscope.stats.prior_correction import ROUNDING

PREFIX = "p_"
"""A column may be named as its class or with this before it, as in predictions.csv."""
SCORE_COLUMNS = frozenset({"score", "probability", "p_abnormal"})
"""Names of a single column of scores of the second class of two."""
OTHER_COLUMNS = frozenset({"label", "path", "finding", "not_assessed"}) | PATIENT_COLUMNS | SCORE_COLUMNS
"""Names that are neither a class nor a subgroup."""


@dataclass(frozen=True)
class ScoreTable:
    """Labelled scores as they stand in a table, checked."""

    labels: NDArray[np.int64]
    """(N,), index into `classes`."""
    probabilities: NDArray[np.float64]
    """(N, K); rows sum to 1."""
    classes: tuple[str, ...]
    """The reference first when a name says so, then sorted."""
    patients: tuple[str, ...] = field(repr=False)
    """N identifiers; an empty one is a patient of its own."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """Further columns, N texts each, for subgroups."""


def read_scores(path: Path) -> ScoreTable:
    """Read a table in UTF-8: label, one probability per class, and if wanted patient and columns for subgroups.

    A probability's column is named as its class, or p_ and the class. Of two classes one such column is enough, or
    a single one called score, probability or p_abnormal, which is that of the second class.

    Raises:
        ManifestError: not such a table; the message names the line.
    """
    names, lines = read_cells(path)
    if not lines:
        raise ManifestError(f"{path}: the table has no rows. Write label, probabilities, and one row per image.")
    if twice := [name for name, n in Counter(name.lower() for name in names).items() if n > 1]:
        raise ManifestError(f"{path}: two columns are called {twice[0]!r}. Keep one, or rename the other.")
    numbers = [number for number, _ in lines]
    cells = dict(zip(names, zip(*(row for _, row in lines), strict=True), strict=True))
    labels = _labels(path, cells, numbers)
    scores = _score_columns(path, names, labels)
    classes = order_classes({*labels, *scores.values()})
    if len(classes) < 2 or len(set(labels)) < 2:
        raise ManifestError(f"{path}: every label is {labels[0]!r}. Add cases of another class.")
    columns = {name: _probabilities(path, column, cells[column], numbers) for column, name in scores.items()}
    for number, label in zip(numbers, labels, strict=True):
        if len(columns) > 1 and label not in columns:
            raise ManifestError(
                f"{path}, line {number}: label {label!r} has no column of probabilities; there are columns for "
                f"{', '.join(columns)}. Correct the label, or add its column."
            )
    owner = next((name for name in names if name.lower() in PATIENT_COLUMNS), "")
    return ScoreTable(
        labels=np.array([classes.index(label) for label in labels], np.int64),
        probabilities=_filled(path, columns, classes, numbers),
        classes=classes,
        patients=tuple(each.strip() for each in cells[owner]) if owner else ("",) * len(labels),
        columns={name: cells[name] for name in names if name not in scores and name.lower() not in OTHER_COLUMNS},
    )


def _labels(path: Path, cells: Mapping[str, Sequence[str]], numbers: Sequence[int]) -> list[str]:
    column = next((name for name in cells if name.lower() == "label"), None)
    if column is None:
        raise ManifestError(
            f"{path}: the header has no column 'label'; it has {', '.join(map(repr, cells))}. "
            "Call the columns label, one per class, and if wanted patient."
        )
    labels = [label.strip() for label in cells[column]]
    for number, label in zip(numbers, labels, strict=True):
        if label.lower() in NO_LABEL:
            raise ManifestError(f"{path}, line {number}: the label is empty. Fill it in or remove the line.")
    return labels


def _score_columns(path: Path, names: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Class by column of probabilities."""
    by_fold = {label.casefold(): label for label in labels}
    found: dict[str, str] = {}
    for name in names:
        plain = name[len(PREFIX) :] if name.lower().startswith(PREFIX) else name
        if name.lower() in OTHER_COLUMNS:
            continue
        if plain.casefold() in by_fold or plain != name:
            found[name] = by_fold.get(plain.casefold(), plain)
    single = [name for name in names if name.lower() in SCORE_COLUMNS]
    two = order_classes(labels)
    if not found and single and len(two) <= 2:
        return {single[0]: two[-1]}
    if not found or (len(found) == 1 and len({*two, *found.values()}) > 2):
        absent = [name for name in two if name not in found.values()]
        raise ManifestError(
            f"{path}: no column holds the probability of {absent[0]!r}; the header has "
            f"{', '.join(map(repr, names))}. Name one column per class as the class."
        )
    return found


def _probabilities(path: Path, name: str, cells: Sequence[str], numbers: Sequence[int]) -> NDArray[np.float64]:
    values = np.empty(len(cells))
    for i, (cell, number) in enumerate(zip(cells, numbers, strict=True)):
        try:
            values[i] = float(cell)
        except ValueError:
            values[i] = math.nan
        if not 0 <= values[i] <= 1:
            kind = "is no number" if math.isnan(values[i]) else "is outside 0..1"
            raise ManifestError(
                f"{path}, line {number}: {name} {cell.strip()!r} {kind}. Write a probability with a decimal point."
            )
    return values


def _filled(
    path: Path, columns: Mapping[str, NDArray[np.float64]], classes: Sequence[str], numbers: Sequence[int]
) -> NDArray[np.float64]:
    """(N, K) in the order of the classes; a single column of two is completed."""
    if len(columns) == 1:
        ((name, values),) = columns.items()
        return np.column_stack([values if each == name else 1 - values for each in classes])
    found = np.column_stack([columns[each] for each in classes])
    sums = found.sum(axis=1)
    if (off := np.flatnonzero(np.abs(sums - 1) > ROUNDING)).size:
        raise ManifestError(
            f"{path}, line {numbers[off[0]]}: the probabilities sum to {sums[off[0]]:.4g}, not to 1. "
            "Write those of all classes, after the softmax."
        )
    return found
