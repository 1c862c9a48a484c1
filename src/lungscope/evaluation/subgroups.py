"""Whether a model is as good for everybody: estimates by age, sex, view, site or any other column of the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungscope.evaluation.cases import Cases, check_cases
from lungscope.evaluation.evaluate import NO_REFERENCE
from lungscope.stats.bands import Bands, into_bands
from lungscope.stats.comparison import holm
from lungscope.stats.estimate import Estimate
from lungscope.stats.group_gap import Gap, largest_gap
from lungscope.stats.operating_points import OperatingPoint
from lungscope.stats.patients import patient_index
from lungscope.stats.proportion import proportion
from lungscope.stats.resampling import RESAMPLES, estimates

SMALL = 20
"""Patients of a class below which a group's estimates say little."""
COMPARED = ("auroc", "sensitivity", "specificity")


@dataclass(frozen=True)
class Subgroup:
    """One value or band of a column."""

    name: str
    n: int
    patients: int
    prevalence: Estimate
    auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    """Both at the default operating point."""
    ece: Estimate
    small: bool
    """Whether a class has fewer than `SMALL` patients in it."""


@dataclass(frozen=True)
class Difference:
    """The largest gap of one estimate between groups that are not small."""

    estimate: str
    gap: Gap
    higher: str
    lower: str
    corrected: float
    """p-value after Holm's correction for all columns and estimates."""


@dataclass(frozen=True)
class Grouping:
    """A column with its groups."""

    column: str
    note: str
    """How its values were put into groups."""
    groups: tuple[Subgroup, ...]
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Subgroups:
    """All columns, and those that could not be used, with the reason."""

    groupings: tuple[Grouping, ...]
    refused: tuple[str, ...]


def measure_subgroups(
    cases: Cases, columns: Mapping[str, Sequence[str]], point: OperatingPoint | None, *, seed: int = 0
) -> Subgroups:
    """Measure every group of every column.

    Args:
        cases: N cases.
        columns: per name N values as text; empty where unknown.
        point: the default operating point; None where no class is the reference.
        seed: of the draws of patients.
    """
    groupings, refused = [], []
    for name, values in columns.items():
        banded = into_bands(name, values)
        if isinstance(banded, str):
            refused.append(banded)
            continue
        groupings.append(_grouping(cases, name, banded, point, seed))
    return Subgroups(_compared(groupings), tuple(refused))


def _grouping(cases: Cases, name: str, bands: Bands, point: OperatingPoint | None, seed: int) -> Grouping:
    groups = [_subgroup(band, _select(cases, bands.index == i), point, seed) for i, band in enumerate(bands.names)]
    return Grouping(name, bands.note, tuple(groups))


def _select(cases: Cases, rows: NDArray[np.bool_]) -> Cases:
    return check_cases(cases.labels[rows], cases.probabilities[rows], cases.patients[rows], cases.classes)


def _subgroup(name: str, cases: Cases, point: OperatingPoint | None, seed: int) -> Subgroup:
    index, truth = patient_index(cases.patients), cases.diseased
    called = point.is_positive(cases.p_abnormal) if point else truth
    sides = (np.unique(index[side]).size for side in (truth, ~truth))
    (ece,) = estimates([cases.ece()], cases.patients, resamples=RESAMPLES, seed=seed)
    at_point = (
        proportion(called[truth], cases.patients[truth], empty="no positive case"),
        proportion(~called[~truth], cases.patients[~truth], empty="no negative case"),
    )
    return Subgroup(
        name=name,
        n=truth.size,
        patients=np.unique(index).size,
        prevalence=proportion(truth, cases.patients) if point else NO_REFERENCE,
        auroc=cases.p_abnormal_area() if point else NO_REFERENCE,
        sensitivity=at_point[0] if point else NO_REFERENCE,
        specificity=at_point[1] if point else NO_REFERENCE,
        ece=ece,
        small=min(sides) < SMALL,
    )


def _compared(groupings: Sequence[Grouping]) -> tuple[Grouping, ...]:
    """Every column with its largest gaps, corrected for how many were tested."""
    found = [
        (i, name, gap, large)
        for i, each in enumerate(groupings)
        for large in [[group for group in each.groups if not group.small]]
        for name in COMPARED
        if (gap := largest_gap([getattr(group, name) for group in large]))
    ]
    corrected = holm([gap.p_value for _, _, gap, _ in found])
    differences: list[list[Difference]] = [[] for _ in groupings]
    for (i, name, gap, large), p in zip(found, corrected, strict=True):
        differences[i].append(Difference(name, gap, large[gap.highest].name, large[gap.lowest].name, float(p)))
    return tuple(
        Grouping(each.column, each.note, each.groups, tuple(differences[i])) for i, each in enumerate(groupings)
    )
