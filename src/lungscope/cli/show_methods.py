"""What the commands that choose among methods print."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from lungscope.cli.show import RESEARCH_USE, estimate_cell, estimate_value, plain_table
from lungscope.experiments.tune import Study
from lungscope.reports.leaderboard import Leaderboard, cost, p_value, standing_word, verdicts


def leaderboard(board: Leaderboard, out: Path) -> None:
    """Print a comparison: the order, the tests, what moving the threshold does, and what it means."""
    found, console = board.comparison, Console(highlight=False)
    console.print(f"{found.n} images of {found.patients} patients. {board.protocol}", soft_wrap=True)
    console.print(_ranking(board))
    console.print(_costs(board))
    if len(found.standings) > 1:
        console.print(_tests(board))
    if found.standings[0].thresholds:
        console.print(_thresholds(board))
    for failure in found.failures:
        console.print(f"{failure.name} failed: {failure.reason}", style="red", markup=False, soft_wrap=True)
    for sentence in verdicts(found):
        console.print(sentence, markup=False, soft_wrap=True)
    for note in board.notes:
        console.print(f"Note: {note}", markup=False, soft_wrap=True)
    console.print(f"Leaderboard: {out / 'leaderboard.html'}", soft_wrap=True)
    console.print(RESEARCH_USE)


def study(found: Study) -> None:
    """Print the best trials of a study and how to use the best."""
    console = Console(highlight=False)
    console.print(f"{found.finished} trials finished, {found.pruned} of them stopped early.")
    told = ", ".join(f"{trial.auroc:.4f} (trial {trial.number})" for trial in found.best)
    console.print(f"Best mean validation AUROC: {told}. Settings of the first:", soft_wrap=True)
    for name, value in found.best[0].settings.items() if found.best else ():
        console.print(f"  {name:<26} {value}")
    console.print(f"Next: lungscope train {found.source} --recipe {found.recipe}", soft_wrap=True)
    console.print(RESEARCH_USE)


def _ranking(board: Leaderboard) -> Table:
    mean = "" if len(board.comparison.classes) == 2 else "mean "
    table = plain_table("method", f"{mean}AUROC", "accuracy", "sens.", "spec.", f"{mean}F1", "seeds")
    for each in board.comparison.standings:
        shown = (estimate_cell(getattr(each, name)) for name in ("auroc", "accuracy"))
        more = (estimate_value(getattr(each, name)) for name in ("sensitivity", "specificity", "f1"))
        seeds = "1" if each.spread is None else f"{len(each.seeds)}, ± {each.spread:.3f}"
        table.add_row(each.name, *shown, *more, seeds)
    return table


def _costs(board: Leaderboard) -> Table:
    table = plain_table("method", "parameters", "training, s", "images/s", "one image, ms")
    for each in board.comparison.standings:
        names = ("parameters", "training_s", "images_per_s", "milliseconds")
        table.add_row(each.name, *(cost(each, name) for name in names))
    return table


def _tests(board: Leaderboard) -> Table:
    table = plain_table("method", "behind in AUROC", "p", "accuracy", "p", "verdict")
    for each in board.comparison.standings:
        if behind := each.difference:
            gap, less = estimate_cell(behind.auroc_difference), f"{behind.accuracy_difference:.3f}"
            word = standing_word(board.comparison, each)
            table.add_row(each.name, gap, p_value(behind.auroc), less, p_value(behind.accuracy), word)
    return table


def _thresholds(board: Leaderboard) -> Table:
    table = plain_table("method", "threshold", "sensitivity", "specificity", "precision", "F1")
    for each in board.comparison.standings:
        for at in each.thresholds:
            shown = (estimate_cell(at.sensitivity), estimate_cell(at.specificity))
            more = (estimate_value(at.ppv), estimate_value(at.f1))
            table.add_row(each.name, f"{at.threshold:g}", *shown, *more)
    return table
