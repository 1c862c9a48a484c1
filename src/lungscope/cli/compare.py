"""`lungscope compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lungscope.cli.options import (
    FAILED_FILES,
    Device,
    Force,
    LabelPattern,
    Overrides,
    PatientPattern,
    data_source,
    settings,
)
from lungscope.cli.tables import estimate_cell, estimate_value, plain_table, print_table, stdout
from lungscope.inference.result import RESEARCH_USE

if TYPE_CHECKING:
    from lungscope.reports.leaderboard import Leaderboard


def compare(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="[RUN]... DATA", help="Data; before them, models that exist already.")
    ],
    recipes: Annotated[str, typer.Option(help="Recipes to train, separated by commas.")] = "",
    seeds: Annotated[int, typer.Option(help="Training runs per recipe; 3 to call one better.")] = 1,
    folds: Annotated[int, typer.Option(help="Cross-validation by patient instead of one split.")] = 0,
    leave_out: Annotated[
        str,
        typer.Option(
            "--leave-out", metavar="COLUMN", help="Hold out each value of a CSV column in turn, such as stratum."
        ),
    ] = "",
    fractions: Annotated[
        str, typer.Option(help="Parts of the training patients for a learning curve: 0.1,0.25,0.5,1.")
    ] = "1",
    out: Annotated[Path, typer.Option(help="Folder for runs and leaderboard.")] = Path("comparison"),
    overrides: Overrides = None,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    weights: Annotated[
        str, typer.Option(help="imagenet, none, a safetensors FILE, or a folder of BACKBONE*.safetensors.")
    ] = "imagenet",
    device: Device = "auto",
    split: Annotated[str, typer.Option(help="Of existing models: test, validation or all.")] = "test",
    force: Force = False,
) -> None:
    """Find the best: train recipes with several seeds on the same split, or hold existing models side by side.

    What is finished in --out is not trained again. Exit 3 when a recipe failed.

    Example: lungscope compare chest_xray --recipes default,scratch --seeds 3 --out comparison
    """
    from lungscope.experiments.compare import Protocol, compare_recipes, parse_fractions
    from lungscope.experiments.compare_runs import check_inputs, compare_runs

    *runs, data = inputs
    names = check_inputs(runs, recipes)
    if names:
        chosen = tuple(settings(overrides, patient_pattern, label_pattern))
        protocol = Protocol(chosen, seeds, folds, leave_out, parse_fractions(fractions), weights, device)
        board = compare_recipes(data, names, out, protocol, force=force)
    else:
        board = compare_runs(runs, data_source(data, patient_pattern, label_pattern), out, split=split)
    _print(board, out)
    if board.comparison.failures:
        raise typer.Exit(FAILED_FILES)


def _print(board: "Leaderboard", out: Path) -> None:
    """The order, the tests, what moving the threshold does, and what it means."""
    from lungscope.reports.leaderboard import verdicts

    found = board.comparison
    stdout.print(f"{found.n} images of {found.patients} patients. {board.protocol}")
    for table in (_ranking, _costs, _tests, _thresholds):
        if (rows := table(board)).row_count:
            print_table(rows)
    for failure in found.failures:
        stdout.print(f"{failure.name} failed: {failure.reason}", style="red")
    for sentence in (
        *verdicts(found),
        *(each.lead for each in board.sections),
        *(f"Note: {note}" for note in board.notes),
    ):
        stdout.print(sentence)
    stdout.print(f"Leaderboard: {out / 'leaderboard.html'}\n{RESEARCH_USE}")


def _ranking(board: "Leaderboard") -> Table:
    mean = "" if len(board.comparison.classes) == 2 else "mean "
    table = plain_table("method", f"{mean}AUROC", "accuracy", "sens.", "spec.", f"{mean}F1", "seeds")
    for each in board.comparison.standings:
        shown = (estimate_cell(getattr(each, name)) for name in ("auroc", "accuracy"))
        more = (estimate_value(getattr(each, name)) for name in ("sensitivity", "specificity", "f1"))
        seeds = "1" if each.spread is None else f"{len(each.seeds)}, ± {each.spread:.3f}"
        table.add_row(each.name, *shown, *more, seeds)
    return table


def _costs(board: "Leaderboard") -> Table:
    from lungscope.reports.leaderboard import cost

    table = plain_table("method", "parameters", "training, s", "images/s", "one image, ms")
    for each in board.comparison.standings:
        names = ("parameters", "training_s", "images_per_s", "milliseconds")
        table.add_row(each.name, *(cost(each, name) for name in names))
    return table


def _tests(board: "Leaderboard") -> Table:
    from lungscope.reports.leaderboard import p_value, standing_word

    table = plain_table("method", "behind in AUROC", "p", "accuracy", "p", "verdict")
    for each in board.comparison.standings:
        if behind := each.difference:
            gap, less = estimate_cell(behind.auroc_difference), f"{behind.accuracy_difference:.3f}"
            word = standing_word(board.comparison, each)
            table.add_row(each.name, gap, p_value(behind.auroc), less, p_value(behind.accuracy), word)
    return table


def _thresholds(board: "Leaderboard") -> Table:
    table = plain_table("method", "threshold", "sensitivity", "specificity", "precision", "F1")
    for each in board.comparison.standings:
        for at in each.thresholds:
            shown = (estimate_cell(at.sensitivity), estimate_cell(at.specificity))
            more = (estimate_value(at.ppv), estimate_value(at.f1))
            table.add_row(each.name, f"{at.threshold:g}", *shown, *more)
    return table
