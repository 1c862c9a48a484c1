"""The command that asks what a model loses where pictures are made differently."""

from pathlib import Path
from typing import Annotated

import typer

from lungscope.options import Device, Json, Weights


def add_to(app: typer.Typer) -> None:
    """Make the command part of the command line."""
    app.command()(stress)


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
    from lungscope import show_robust
    from lungscope.stress import stress as measure

    found = measure(run, data, split=split, far=far, leave_out=leave_out, weights=weights, device=device)
    show_robust.stress(found, as_json=as_json)
