"""Commands that choose among methods: compare, tune, ensemble."""

from pathlib import Path
from typing import Annotated

import typer

from lungscope.cli.options import FAILED_FILES, Data, Device, Force, Overrides, RecipeName, Weights

ContestWeights = Annotated[
    str, typer.Option(help="imagenet, none, a safetensors FILE, or a folder of BACKBONE*.safetensors.")
]


def add_to(app: typer.Typer) -> None:
    """Make the commands part of the command line."""
    for command in (compare, tune, ensemble):
        app.command()(command)


def compare(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="[RUN]... DATA", help="Data; before them, models that exist already."),
    ],
    recipes: Annotated[str, typer.Option(help="Recipes to train, separated by commas.")] = "",
    seeds: Annotated[int, typer.Option(help="Training runs per recipe; 3 to call one better.")] = 1,
    folds: Annotated[int, typer.Option(help="Cross-validation by patient instead of one split.")] = 0,
    fractions: Annotated[
        str, typer.Option(help="Parts of the training patients for a learning curve: 0.1,0.25,0.5,1.")
    ] = "1",
    out: Annotated[Path, typer.Option(help="Folder for runs and leaderboard.")] = Path("comparison"),
    overrides: Overrides = None,
    weights: ContestWeights = "imagenet",
    device: Device = "auto",
    split: Annotated[str, typer.Option(help="Of existing models: test, validation or all.")] = "test",
    force: Force = False,
) -> None:
    """Find the best: train recipes with several seeds on the same split, or hold existing models side by side.

    What is finished in --out is not trained again. Exit 3 when a recipe failed.

    Example: lungscope compare chest_xray --recipes default,scratch --seeds 3 --out comparison
    """
    from lungscope.cli import show_methods
    from lungscope.experiments.compare import compare_recipes, parse_fractions
    from lungscope.experiments.compare_runs import check_inputs, compare_runs

    *runs, data = inputs
    names = check_inputs(runs, recipes)
    board = (
        compare_recipes(
            data, names, out, overrides=overrides or (), seeds=seeds, folds=folds, weights=weights,
            device=device, force=force, fractions=parse_fractions(fractions),
        )
        if names
        else compare_runs(runs, data, out, split=split)
    )  # fmt: skip
    show_methods.leaderboard(board, out)
    if board.comparison.failures:
        raise typer.Exit(FAILED_FILES)


def tune(
    data: Data,
    recipe: RecipeName = "default",
    trials: Annotated[int, typer.Option(help="Finished trials that the study shall have.")] = 20,
    folds: Annotated[int, typer.Option(help="Parts that each trial is validated on in turn.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for study.db, trials.csv and best.toml.")] = Path(
        "tuning"
    ),
    storage: Annotated[str, typer.Option(help="Optuna URL that several workers share.")] = "",
    overrides: Overrides = None,
    weights: Weights = "imagenet",
    device: Device = "auto",
) -> None:
    """Search for better settings of a recipe by validation AUROC; test images are never looked at.

    A setting given by --set is kept as it is. A study that was stopped goes on.

    Example: lungscope tune chest_xray --trials 30 --out tuning, then: lungscope train chest_xray --recipe
    tuning/best.toml
    """
    from lungscope.cli import show_methods
    from lungscope.experiments.tune import run_study

    found = run_study(
        data, recipe, out, overrides=overrides or (), trials=trials, folds=folds, storage=storage,
        weights=weights, device=device,
    )  # fmt: skip
    show_methods.study(found)


def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders of one split.")],
    out: Annotated[Path, typer.Option(help="The run folder to fill.")],
    weights: Annotated[
        bool, typer.Option("--weights", help="Average weights, not logits: as small and fast as one member.")
    ] = False,
    force: Force = False,
) -> None:
    """Average models of one split into one: a single graph, calibrated again and evaluated.

    Example: lungscope ensemble comparison/default/seed-0 comparison/default/seed-1 --out runs/ensemble
    """
    from lungscope.cli import show
    from lungscope.experiments.ensemble import build_ensemble
    from lungscope.experiments.weight_average import average_weights

    build = average_weights if weights else build_ensemble
    show.evaluation(build(runs, out, force=force))
