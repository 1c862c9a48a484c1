"""What `lungscope robustness` and `lungscope strata` print."""

import json
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lungscope.cli.show import RESEARCH_USE, estimate_cell, estimate_value, plain_table
from lungscope.evaluation.strata import Robustness
from lungscope.experiments.robustness import RobustnessReport, robustness_document
from lungscope.experiments.strata import Hidden


def robustness(found: RobustnessReport, *, as_json: bool) -> None:
    """Print every part and change of the data, the worst of each table last."""
    console = Console(highlight=False)
    if as_json:
        console.print_json(json.dumps(robustness_document(found)))
        return
    console.print(
        f"Held-out images of the {found.split} split, part by part. A part stands for its whole class; the other class "
        "is everything held out.",
        soft_wrap=True,
    )
    console.print(_table("part", found.held_out))
    _worst(console, found.held_out)
    console.print(_table("corrupted pictures", found.corrupted))
    _worst(console, found.corrupted)
    if found.external:
        console.print(_table("data from elsewhere", Robustness((found.external,))))
    if found.left_out:
        console.print(_table("part, never seen in training", found.left_out))
        _worst(console, found.left_out)
    console.print(RESEARCH_USE)


def hidden(found: Hidden, out: Path, *, as_json: bool) -> None:
    """Print the hidden strata, and how the table is split."""
    console, splits = Console(highlight=False), Counter(found.table.splits)
    if as_json:
        console.print_json(json.dumps({"table": str(out), "splits": splits, "strata": [
            {
                "series": site.series, "first": site.first, "last": site.last, "patients": site.patients,
                "images": len(site.rows), "right": site.right, "elsewhere": site.elsewhere, "p": site.p,
            }
            for site in found.sites
        ]}))  # fmt: skip
        return
    if found.sites:
        table = plain_table("numbers", "patients", "images", "right", "elsewhere", "p")
        for site in found.sites:
            table.add_row(
                f"{site.series} {site.first} to {site.last}", str(site.patients), str(len(site.rows)),
                f"{site.right:.0%}", f"{site.elsewhere:.0%}", f"{site.p:.3f}",
            )  # fmt: skip
        console.print("Runs of numbers whose class is not recognised by what the other patients teach:")
        console.print(table)
    else:
        console.print("No run of numbers differs from its series; the table is split by patient at random.")
    parts = ", ".join(f"{name} {splits[name]}" for name in ("train", "validation", "test"))
    console.print(f"{out}: {parts} images. Train on it: lungscope train {out}", soft_wrap=True)


def _table(title: str, found: Robustness) -> Table:
    table = plain_table(title, "images", "AUROC", "ECE", "sens.", "spec.")
    for site in found.strata:
        more = (estimate_value(estimate) for estimate in (site.sensitivity, site.specificity))
        table.add_row(site.name, str(site.n), estimate_cell(site.auroc), estimate_value(site.ece), *more)
    # On a narrow terminal names go over two lines; figures are never cut.
    table.columns[0].overflow = "fold"
    table.columns[0].no_wrap = False
    for column in table.columns[1:]:
        column.no_wrap, column.min_width = True, 6
    table.columns[2].min_width = 17
    return table


def _worst(console: Console, found: Robustness) -> None:
    area, error = found.worst("auroc"), found.worst("ece")
    if area and error:
        console.print(
            f"Worst AUROC {estimate_value(area.auroc)} ({area.name}); largest calibration error "
            f"{estimate_value(error.ece)} ({error.name}).",
            soft_wrap=True,
        )
