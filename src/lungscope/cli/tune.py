"""`lungscope tune`."""

from pathlib import Path
from typing import Annotated

import typer

from lungscope.cli.options import Data, Device, LabelPattern, Overrides, PatientPattern, RecipeName, Weights, settings
from lungscope.cli.tables import stdout
from lungscope.errors import RuntimeUnavailable
from lungscope.inference.result import RESEARCH_USE


def tune(
    data: Data,
    recipe: RecipeName = "default",
    trials: Annotated[int, typer.Option(help="Finished trials that the study shall have.")] = 20,
    folds: Annotated[int, typer.Option(help="Parts that each trial is validated on in turn.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for study.db, trials.csv and best.toml.")] = Path("tuning"),
    storage: Annotated[str, typer.Option(help="Optuna URL that several workers share.")] = "",
    overrides: Overrides = None,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    weights: Weights = "imagenet",
    device: Device = "auto",
) -> None:
    """Search for better settings of a recipe by validation AUROC; test images are never looked at.

    A setting given by --set is kept as it is. A study that was stopped goes on.

    Example: lungscope tune chest_xray --trials 30 --out tuning, then: lungscope train chest_xray --recipe
    tuning/best.toml
    """
    try:
        from lungscope.experiments.tune import SearchPlan, run_study
    except ModuleNotFoundError as error:
        raise RuntimeUnavailable(f"The search needs {error.name}. Run: pip install 'lungscope[tune]'.") from None

    chosen = tuple(settings(overrides, patient_pattern, label_pattern))
    found = run_study(data, recipe, out, SearchPlan(chosen, trials, folds, storage, weights, device))
    stdout.print(f"{found.finished} trials finished, {found.pruned} of them stopped early.")
    best = ", ".join(f"{trial.auroc:.4f} (trial {trial.number})" for trial in found.best)
    stdout.print(f"Best mean validation AUROC: {best}. Settings of the first:")
    for name, value in found.best[0].settings.items() if found.best else ():
        stdout.print(f"  {name:<26} {value}")
    stdout.print(f"Next: lungscope train {found.source} --recipe {found.recipe}\n{RESEARCH_USE}")
