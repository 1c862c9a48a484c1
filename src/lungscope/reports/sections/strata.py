"""What a model does on strata of the data, which may differ as another hospital does."""

from lungscope.evaluation.strata import Robustness
from lungscope.reports.section import Section, SectionKey, Table
from lungscope.reports.summary import cell, decimal


def strata_section(found: Robustness) -> Section:
    """Every stratum, and the worst."""
    rows = tuple(
        (
            each.name, str(each.n), cell(each.auroc, decimal), cell(each.ece, decimal),
            cell(each.sensitivity), cell(each.specificity),
        )
        for each in found.strata
    )  # fmt: skip
    return Section(SectionKey.STRATA, "Strata of the data as other hospitals", worst_stratum(found), tables=(Table(
        "Each stratum stands for its whole class; the other class is everything held out",
        ("stratum", "images", "AUROC", "calibration error", "sensitivity", "specificity"),
        rows,
        "A stratum far below the others shows what the model may do where pictures are made differently.",
    ),))  # fmt: skip


def worst_stratum(found: Robustness) -> str:
    """What is asked of the strata, and which are the worst."""
    asked = "Held-out images are of the same hospital; strata of the data that differ show what may be lost elsewhere."
    area, error = found.worst("auroc"), found.worst("ece")
    if area is None or error is None or area.auroc.value is None or error.ece.value is None:
        return f"{asked} No stratum is large enough to be measured."
    return (
        f"{asked} The worst AUROC is {area.auroc.value:.3f} ({area.name}), the largest calibration error "
        f"{error.ece.value:.3f} ({error.name})."
    )
