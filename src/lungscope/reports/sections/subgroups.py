"""Whether a model is as good for everybody."""

from lungscope.evaluation.subgroups import SMALL, Grouping, Subgroups
from lungscope.reports import summary
from lungscope.reports.section import Row, Section, SectionKey, Table

WORDS = {"auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity"}
LEVEL = 0.05


def subgroups_section(found: Subgroups) -> Section:
    """Every group of every column, and the largest gaps."""
    tested = sum(len(each.differences) for each in found.groupings)
    return Section(
        SectionKey.SUBGROUPS,
        title="Subgroups",
        lead="Estimates by group, at the default operating point. Groups that differ are a reason to look closer; "
        "groups that do not may be too small to show it.",
        warnings=(*_warnings(found), *found.refused),
        tables=tuple(table for each in found.groupings for table in (_table(each), *_differences(each, tested))),
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
    small = f" Small: a class has fewer than {SMALL} patients." if any(g.small for g in grouping.groups) else ""
    return Table(f"By {grouping.column}", header, rows, f"{grouping.note}{small}")


def _differences(grouping: Grouping, tested: int) -> tuple[Table, ...]:
    if not grouping.differences:
        return ()
    rows: tuple[Row, ...] = tuple(
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
            ("Estimate", "Groups", "Difference", "p of equality", "corrected"),
            rows,
            f"The test asks whether all groups are equal; corrected by Holm for {tested} tests. "
            "Small groups are left out.",
        ),
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
