"""Commands that ask what a model loses where pictures are made differently."""

from pathlib import Path
from typing import Annotated

import typer

from lungscope.cli.options import Data, Device, Force, Json, Overrides, RecipeName, Weights


def add_to(app: typer.Typer) -> None:
    """Make the command part of the command line."""
    app.command()(robustness)
    app.command()(strata)


def robustness(
    run: Annotated[Path, typer.Argument(help="A run folder, or a model.onnx with DATA.")],
    data: Annotated[
        Path | None, typer.Argument(help="Its data with splits; by default its manifest.csv.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="What the model has not seen: test, validation or all.")
    ] = "test",
    external: Annotated[Path | None, typer.Option(help="Data of the same classes from elsewhere.")] = None,
    leave_out: Annotated[bool, typer.Option("--leave-out", help="Train again without each part.")] = False,
    weights: Weights = "imagenet",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model on parts of its data that differ, on corrupted pictures, and where its data end.

    Writes robustness.json beside a run's model. No image of another hospital is needed.

    Example: lungscope robustness runs/first --leave-out
    """
    from lungscope.cli import show_robustness
    from lungscope.experiments.robustness import measure_robustness

    found = measure_robustness(
        run, data, split=split, external=external, leave_out=leave_out, weights=weights, device=device
    )
    show_robustness.robustness(found, as_json=as_json)


def strata(
    data: Data,
    out: Annotated[Path, typer.Option(help="The table to write: a CSV for 'lungscope train'.")] = Path(
        "strata.csv"
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

    Example: lungscope strata chest_xray/train --out strata.csv && lungscope train strata.csv
    """
    from lungscope.cli import show_robustness
    from lungscope.config.recipe import load_recipe
    from lungscope.data.manifest import write_csv
    from lungscope.experiments.strata import hidden_strata
    from lungscope.system.files import check_free

    check_free(out, force=force)
    found = hidden_strata(data, load_recipe(recipe, overrides or []), weights=weights, device=device)
    write_csv(found.table, out)
    show_robustness.hidden(found, out, as_json=as_json)
