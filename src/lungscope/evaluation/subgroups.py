"""Whether a model is as good for everybody: figures by age, sex, view, site or any other column of the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.evaluation.cases import Cases, check_cases
from lungscope.evaluation.evaluate import NO_REFERENCE, estimate_json
from lungscope.reports import summary
from lungscope.reports.section import Section, Table
from lungscope.stats.bands import Bands, into_bands
from lungscope.stats.bootstrap import RESAMPLES, estimates
from lungscope.stats.comparison import holm
from lungscope.stats.group_gap import Gap, largest_gap
from lungscope.stats.metrics import Estimate
from lungscope.stats.operating_points import OperatingPoint
from lungscope.stats.patients import patient_index
from lungscope.stats.proportion import proportion

SMALL = 20
"""Patients of a class below which a group's figures say little."""
LEVEL = 0.05
FIGURES = ("prevalence", "auroc", "sensitivity", "specificity", "ece")
COMPARED = ("auroc", "sensitivity", "specificity")
WORDS = {"auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity"}


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
    """The largest gap of one figure between groups that are not small."""

    estimate: str
    gap: Gap
    higher: str
    lower: str
    corrected: float
    """p-value after Holm's correction for all columns and figures."""


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


def subgroups_section(found: Subgroups) -> Section:
    """The groups as a part of the report."""
    tested = sum(len(each.differences) for each in found.groupings)
    return Section(
        title="Subgroups",
        lead="Figures by group, at the default operating point. Groups that differ are a reason to look closer; groups "
        "that do not may be too small to show it.",
        warnings=(*_warnings(found), *found.refused),
        tables=tuple(
            table for each in found.groupings for table in (_table(each), *_differences(each, tested))
        ),
    )


def subgroups_json(found: Subgroups) -> dict[str, Any]:
    """The groups for `evaluation.json`."""
    return {
        "subgroups": {
            "columns": {each.column: _grouping_json(each) for each in found.groupings},
            "refused": list(found.refused),
        }
    }


def _grouping(cases: Cases, name: str, bands: Bands, point: OperatingPoint | None, seed: int) -> Grouping:
    groups = [
        _subgroup(band, _select(cases, bands.index == i), point, seed) for i, band in enumerate(bands.names)
    ]
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
    """Every column with its largest gaps, corrected for how many were looked at."""
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
        differences[i].append(
            Difference(name, gap, large[gap.highest].name, large[gap.lowest].name, float(p))
        )
    return tuple(
        Grouping(each.column, each.note, each.groups, tuple(differences[i]))
        for i, each in enumerate(groupings)
    )


def _warnings(found: Subgroups) -> list[str]:
    return [
        f"{WORDS[each.estimate]} differs by {grouping.column}: {100 * (each.gap.difference.value or 0):.0f} points "
        f"lower for {each.lower} than for {each.higher} ({_p(each.corrected)} after correction)."
        for grouping in found.groupings
        for each in grouping.differences
        if each.corrected < LEVEL
    ]


def _table(grouping: Grouping) -> Table:
    rows = tuple(
        (
            f"{each.name} (small)" if each.small else each.name,
            f"{each.n:,}",
            f"{each.patients:,}",
            summary.cell(each.prevalence),
            summary.cell(each.auroc, summary.decimal),
            summary.cell(each.sensitivity),
            summary.cell(each.specificity),
            summary.cell(each.ece, summary.decimal),
        )
        for each in grouping.groups
    )
    header = (grouping.column, "Images", "Patients", "Diseased", "AUROC", "Sensitivity", "Specificity", "ECE")
    small = (
        f" Small: a class has fewer than {SMALL} patients." if any(g.small for g in grouping.groups) else ""
    )
    return Table(f"By {grouping.column}", header, rows, f"{grouping.note}{small}")


def _differences(grouping: Grouping, tested: int) -> tuple[Table, ...]:
    if not grouping.differences:
        return ()
    rows: tuple[tuple[str | summary.Cell, ...], ...] = tuple(
        (
            WORDS[each.estimate],
            f"{each.higher} over {each.lower}",
            summary.cell(each.gap.difference, summary.decimal),
            _p(each.gap.p_value),
            _p(each.corrected),
        )
        for each in grouping.differences
    )
    return (
        Table(
            f"Largest gaps by {grouping.column}",
            ("Figure", "Groups", "Difference", "p of equality", "corrected"),
            rows,
            f"The test asks whether all groups are equal; corrected by Holm for {tested} tests. "
            "Small groups are left out.",
        ),
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _grouping_json(grouping: Grouping) -> dict[str, Any]:
    return {
        "note": grouping.note,
        "groups": {
            each.name: {
                "n": each.n,
                "patients": each.patients,
                "small": each.small,
                **{name: estimate_json(getattr(each, name)) for name in FIGURES},
            }
            for each in grouping.groups
        },
        "largest_gaps": {
            each.estimate: {
                "higher": each.higher,
                "lower": each.lower,
                "difference": estimate_json(each.gap.difference),
                "p_value": round(each.gap.p_value, 6),
                "p_holm": round(each.corrected, 6),
            }
            for each in grouping.differences
        },
    }
