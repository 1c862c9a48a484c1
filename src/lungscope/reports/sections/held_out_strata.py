"""Which method holds where pictures are made differently."""

import csv
import io
from collections.abc import Sequence

from lungscope.evaluation.held_out_strata import HeldOutStrata
from lungscope.reports import summary
from lungscope.reports.section import Row, Section, SectionKey, Table


def held_out_strata_section(found: Sequence[HeldOutStrata]) -> Section:
    """Every method on every stratum, and the worst and the mean of each method."""
    ranked = sorted(found, key=lambda each: -(each.worst.auroc.value or 0))
    rows: list[Row] = [
        (
            method.method, each.name, f"{each.images:,}", summary.cell(each.auroc, summary.decimal),
            _seeds(each.auroc_by_seed), summary.cell(each.ece, summary.decimal),
        )
        for method in ranked
        for each in method.strata
    ]  # fmt: skip
    header = ("Method", "Stratum", "Images", "AUROC", "By seed", "Calibration error")
    return Section(
        SectionKey.STRATA, "Strata held out in turn",
        " ".join(map(worst_and_mean, ranked)),
        tables=(Table(
            "Each stratum by models that saw no patient of it", header, tuple(rows),
            "A method is worth at another hospital what it is worth on its worst stratum. Brackets are 95% intervals.",
        ),),
    )  # fmt: skip


def held_out_strata_csv(found: Sequence[HeldOutStrata]) -> str:
    """One line per method and stratum."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow("method stratum images auroc auroc_low auroc_high auroc_by_seed ece ece_low ece_high".split())
    for method in found:
        for each in method.strata:
            area, error = each.auroc, each.ece
            seeds = " ".join(f"{value:.6f}" for value in each.auroc_by_seed)
            writer.writerow([
                method.method, each.name, each.images, area.value, area.low, area.high, seeds,
                error.value, error.low, error.high,
            ])  # fmt: skip
    return text.getvalue()


def worst_and_mean(found: HeldOutStrata) -> str:
    """One sentence about one method."""
    worst = found.worst
    if worst.auroc.value is None or found.mean_auroc is None:
        return f"{found.method}: no AUROC can be given ({worst.auroc.reason})."
    return (
        f"{found.method}: worst AUROC {worst.auroc.value:.3f} ({worst.name}), {found.worst_of_any_seed:.3f} with its "
        f"worst seed; mean of the strata {found.mean_auroc:.3f}."
    )


def _seeds(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values) or "–"
