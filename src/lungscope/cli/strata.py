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
    from lungscope.experiments.style_strata import StyleStrata


def strata(
    data: Data,
    out: Annotated[Path, typer.Option(help="The table to write: a CSV for 'lungscope train'.")] = Path("strata.csv"),
    style: Annotated[
        int, typer.Option(metavar="N", help="Name N strata of style instead, for 'compare --leave-out stratum'.")
    ] = 0,
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    weights: Weights = "imagenet",
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Find images that a model gets wrong unless it was trained on others like them: runs of patient numbers, or style.

    Pictures of another device or ward often hide so in one class. Runs of numbers are held out, and the report of
    a model trained on the table shows them as a stratum of their own. Strata of style hold images of every class.

    Example: lungscope strata chest_xray/train --out strata.csv && lungscope train strata.csv

    Example: lungscope strata chest_xray --style 2 --out style.csv
    """
    from lungscope.config.recipe import load_recipe
    from lungscope.data.manifest import write_csv
    from lungscope.experiments.strata import hidden_strata
    from lungscope.experiments.style_strata import style_strata
    from lungscope.system.files import check_free

    check_free(out, force=force)
    chosen = load_recipe(recipe, settings(overrides, patient_pattern, label_pattern))
    if style:
        of_style = style_strata(data, style, chosen, weights=weights, device=device)
        write_csv(of_style.table, out)
        (_print_style_json if as_json else _print_style)(of_style, out)
        return
    found = hidden_strata(data, chosen, weights=weights, device=device)
    write_csv(found.table, out)
    (_print_json if as_json else _print)(found, out)


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


def _print_style_json(found: "StyleStrata", out: Path) -> None:
    strata = [
        {
            "stratum": each.stratum, "class": each.class_name, "images": len(each.rows), "patients": each.patients,
            "right": each.right, "log_odds": each.log_odds,
        }
        for each in found.clusters
    ]  # fmt: skip
    print_json({"table": str(out), "strata": strata})


def _print_style(found: "StyleStrata", out: Path) -> None:
    table = plain_table("stratum", "class", "patients", "images", "right when not seen")
    for each in sorted(found.clusters, key=lambda each: each.stratum):
        table.add_row(each.stratum, each.class_name, str(each.patients), str(len(each.rows)), f"{each.right:.0%}")
    stdout.print("Images of a class that look alike, and how many a head gets right that has not seen their patients:")
    print_table(table)
    stdout.print(f"Hold each out in turn: lungscope compare {out} --leave-out stratum --recipes default --seeds 3")
