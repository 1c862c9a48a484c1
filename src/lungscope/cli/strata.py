"""`lungscope strata`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.cli.options import (
    Data,
    Device,
    Force,
    Json,
    LabelPattern,
    Overrides,
    PatientPattern,
    RecipeName,
    Weights,
    settings,
)
from lungscope.cli.tables import plain_table, print_json, print_table, stdout

if TYPE_CHECKING:
    from lungscope.experiments.strata import Hidden


def strata(
    data: Data,
    out: Annotated[Path, typer.Option(help="The table to write: a CSV for 'lungscope train'.")] = Path("strata.csv"),
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    weights: Weights = "imagenet",
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Find runs of patient numbers that a model gets wrong unless it was trained on them, and hold them out.

    Pictures of another device or ward often hide so in one class.
    The report of a model trained on the table shows them as a stratum of their own.

    Example: lungscope strata chest_xray/train --out strata.csv && lungscope train strata.csv
    """
    from lungscope.config.recipe import load_recipe
    from lungscope.data.manifest import write_csv
    from lungscope.experiments.strata import hidden_strata
    from lungscope.system.files import check_free

    check_free(out, force=force)
    chosen = load_recipe(recipe, settings(overrides, patient_pattern, label_pattern))
    found = hidden_strata(data, chosen, weights=weights, device=device)
    write_csv(found.table, out)
    if as_json:
        _print_json(found, out)
    else:
        _print(found, out)


def _print_json(found: "Hidden", out: Path) -> None:
    strata = [
        {
            "series": each.series, "first": each.first, "last": each.last, "patients": each.patients,
            "images": len(each.rows), "right": each.right, "elsewhere": each.elsewhere, "p": each.p,
        }
        for each in found.strata
    ]  # fmt: skip
    print_json({"table": str(out), "splits": Counter(found.table.splits), "strata": strata})


def _print(found: "Hidden", out: Path) -> None:
    if found.strata:
        table = plain_table("numbers", "patients", "images", "right", "elsewhere", "p")
        for each in found.strata:
            table.add_row(
                f"{each.series} {each.first} to {each.last}", str(each.patients), str(len(each.rows)),
                f"{each.right:.0%}", f"{each.elsewhere:.0%}", f"{each.p:.3f}",
            )  # fmt: skip
        stdout.print("Runs of numbers whose class is not recognised by what the other patients teach:")
        print_table(table)
    else:
        stdout.print("No run of numbers differs from its series; the table is split by patient at random.")
    splits = Counter(found.table.splits)
    parts = ", ".join(f"{name} {splits[name]}" for name in ("train", "validation", "test"))
    stdout.print(f"{out}: {parts} images. Train on it: lungscope train {out}")
