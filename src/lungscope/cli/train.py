"""`lungscope train`."""

from pathlib import Path
from typing import Annotated

import typer

from lungscope.cli.evaluate import print_evaluation
from lungscope.cli.options import (
    Data,
    Device,
    Force,
    LabelPattern,
    Leakage,
    Overrides,
    PatientPattern,
    RecipeName,
    Weights,
    settings,
)


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The run folder to fill.")] = Path("runs/default"),
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    weights: Weights = "imagenet",
    device: Device = "auto",
    force: Force = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a run in --out that was stopped.")] = False,
    allow_leakage: Leakage = False,
) -> None:
    """Audit, split, train, calibrate, export and evaluate; everything ends up in the run folder.

    Example: lungscope train chest_xray --set finetune.epochs=3 --out runs/first
    """
    from lungscope.config.recipe import load_recipe
    from lungscope.experiments.train_run import TrainOptions, train_and_evaluate

    chosen = load_recipe(recipe, settings(overrides, patient_pattern, label_pattern))
    done = train_and_evaluate(data, chosen, out, TrainOptions(weights, device, force, resume, allow_leakage))
    if done:  # of the processes of torchrun, the first one alone evaluates
        print_evaluation(done)
