"""What commands print of statistics: predictive values, change against validation, corrected prevalence."""

from typing import TYPE_CHECKING

from rich.console import Console

from lungscope.cli.show import estimate_cell, plain_table
from lungscope.errors import BundleError
from lungscope.stats.predictive import predictive_estimates
from lungscope.system.progress import stderr

if TYPE_CHECKING:
    from lungscope.bundle.card import Card
    from lungscope.evaluation.prevalence import Adaptation


def predictive(card: "Card", operating_point: str | None, prevalence: float) -> None:
    """Say what a flag and an all-clear are worth at a prevalence.

    Raises:
        BundleError: the model has no operating points.
        ConfigError: the prevalence is not between 0 and 1.
    """
    if not card.operating_points:
        raise BundleError(
            "The model has no operating points, so no predictive values. Leave --prevalence out."
        )
    point = card.operating_point(operating_point)
    ppv, npv = predictive_estimates(point.sensitivity, point.specificity, prevalence)
    stderr.print(
        f"Where {100 * prevalence:.3g}% are diseased, at {point.name} (≥ {point.threshold:.3f}): a flag is right with "
        f"probability {ppv}, an all-clear with {npv}; from validation.",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def points(console: Console, card: "Card", prevalence: float | None) -> None:
    """The operating points of a model, with predictive values where a prevalence is given."""
    table = plain_table("name", "goal", "cut-off", "sensitivity", "specificity")
    for point in card.operating_points:
        estimates = (estimate_cell(point.sensitivity), estimate_cell(point.specificity))
        table.add_row(point.name, point.goal, f"{point.threshold:.3f}", *estimates)
    console.print(table)
    if prevalence is None:
        return
    console.print(f"\nWhere {100 * prevalence:.3g}% are diseased:")
    worth = plain_table("name", "PPV", "NPV")
    for point in card.operating_points:
        both = predictive_estimates(point.sensitivity, point.specificity, prevalence)
        worth.add_row(point.name, *(estimate_cell(each) for each in both))
    console.print(worth)


def adaptation(console: Console, found: "Adaptation") -> None:
    """The prevalence that the images suggest, and what correcting for it does."""
    shares = ", ".join(
        f"{name} {share}" for name, share in zip(found.classes, found.shift.shares, strict=True)
    )
    console.print(f"Estimated without labels: {shares}.", soft_wrap=True)
    if found.shift.refused:
        console.print(f"[yellow]Do not use the correction:[/] {found.shift.refused}.", soft_wrap=True)
    table = plain_table("", "uncorrected", "corrected")
    if found.corrected:
        for name in ("ece", "brier", "in_the_large"):
            sides = (found.uncorrected.estimate(name), found.corrected.estimate(name))
            table.add_row(name.replace("_", " "), *(str(each) for each in sides))
        for name in ("sensitivity", "specificity", "ppv") if found.calls else ():
            table.add_row(name, *(str(getattr(each, name)) for each in found.calls))
        console.print(table)
