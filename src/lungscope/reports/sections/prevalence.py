"""Probabilities corrected for the prevalence that the images suggest, beside the uncorrected."""

from lungscope.evaluation.prevalence import CALLS, Adaptation, Calls
from lungscope.reports import summary
from lungscope.reports.section import Row, Section, SectionKey, Table
from lungscope.reports.sections.calibration import estimates_table


def adaptation_section(found: Adaptation) -> Section:
    """The estimated prevalence, and what correcting for it does."""
    columns = [each for each in (found.uncorrected, found.corrected) if each]
    tables = [_shares_table(found), estimates_table(columns, "Calibration with and without the correction")]
    if found.calls:
        tables.append(_calls_table(found.calls))
    refused = found.shift.refused
    return Section(
        SectionKey.PREVALENCE,
        title="Corrected for prevalence",
        lead="The prevalence of these images was estimated from the probabilities alone, without their labels "
        "(expectation maximisation), and the probabilities were corrected for it. All else in this report is "
        "uncorrected.",
        warnings=(f"Do not use the correction: {refused}.",) if refused else (),
        tables=tuple(tables),
    )


def _shares_table(found: Adaptation) -> Table:
    rows = tuple(
        (name, summary.percent(prior), summary.cell(share), summary.percent(actual))
        for name, prior, share, actual in zip(found.classes, found.prior, found.shift.shares, found.actual, strict=True)
    )
    return Table(
        "Share of each class",
        ("Class", "Calibrated for", "Estimated here", "By the labels"),
        rows,
        "The estimate does not see the labels; the last column shows how well it did.",
    )


def _calls_table(calls: tuple[Calls, ...]) -> Table:
    header = ("Estimate", "Uncorrected", "Corrected")[: 1 + len(calls)]
    rows: tuple[Row, ...] = tuple(
        (name, *(summary.cell(getattr(each, key)) for each in calls))
        for name, key in zip(("Sensitivity", "Specificity", "PPV", "Accuracy"), CALLS, strict=True)
    )
    return Table("At the default threshold", header, rows, "The threshold stays; the probabilities move.")
