"""Commands that ask what a model loses where pictures are made differently."""

from pathlib import Path
from typing import Annotated

import typer

from lungscope.cli.options import Data, Device, Force, Json, Overrides, RecipeName, Weights


def add_to(app: typer.Typer) -> None:
    """Make the command part of the command line."""
    app.command()(stress)
    app.command()(sites)


def stress(
    run: Annotated[Path, typer.Argument(help="A run folder, or a model.onnx with DATA.")],
    data: Annotated[
        Path | None, typer.Argument(help="Its data with splits; by default its manifest.csv.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="What the model has not seen: test, validation or all.")
    ] = "test",
    far: Annotated[Path | None, typer.Option(help="Data of the same classes from elsewhere.")] = None,
    leave_out: Annotated[bool, typer.Option("--leave-out", help="Train again without each part.")] = False,
    weights: Weights = "imagenet",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model on parts of its data that differ, on corrupted pictures, and where its data end.

    Writes stress.json beside a run's model. No image of another hospital is needed.

    Example: lungscope stress runs/first --leave-out
    """
    from lungscope.cli import show_robustness as show_robust
    from lungscope.experiments.robustness import stress as measure

    found = measure(run, data, split=split, far=far, leave_out=leave_out, weights=weights, device=device)
    show_robust.stress(found, as_json=as_json)


def sites(
    data: Data,
    out: Annotated[Path, typer.Option(help="The table to write: a CSV for 'lungscope train'.")] = Path(
        "sites.csv"
    ),
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    weights: Weights = "imagenet",
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Find runs of patient numbers that are misjudged unless they were trained on, and hold them out.

    Pictures of another device or ward often hide so in one class.
    The report of a model trained on the table judges them as a part of their own.

    Example: lungscope sites chest_xray/train --out sites.csv && lungscope train sites.csv
    """
    from lungscope.cli import show_robustness as show_robust
    from lungscope.config.recipe import load_recipe
    from lungscope.data.manifest import write_csv
    from lungscope.experiments.strata import hidden_sites
    from lungscope.system.files import check_free

    check_free(out, force=force)
    found = hidden_sites(data, load_recipe(recipe, overrides or []), weights=weights, device=device)
    write_csv(found.table, out)
    show_robust.hidden(found, out, as_json=as_json)
