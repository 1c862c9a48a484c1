"""The command that writes a model in another format."""

from pathlib import Path
from typing import Annotated

import typer

from lungscope.cli.options import Json, chosen_model


def add_to(app: typer.Typer) -> None:
    """Make the command part of the command line."""
    app.command()(export)


def export(
    format: Annotated[
        str, typer.Option("--format", "-f", help="onnx, openvino or litert (TensorFlow Lite).")
    ],
    out: Annotated[Path, typer.Option(help="FILE.onnx, or the folder of any other format.")],
    run: Annotated[
        Path | None,
        typer.Argument(help="A run folder, or a model.onnx with --data; without it the bundled model."),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, int8, fp16 or bf16, as the format has it.")] = "fp32",
    data: Annotated[
        Path | None, typer.Option(help="Labelled images to check on; by default the run's validation split.")
    ] = None,
    opset: Annotated[int | None, typer.Option(help="Of --format onnx; by default the run's own.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a former export in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Write a model in another format, held against the original on validation images first.

    What is too far from it is not written, with exit 2. An exported model can be used wherever a run can.

    Example: lungscope export runs/first --format openvino --precision int8 --out exported, then: lungscope predict
    new/*.jpeg --model exported
    """
    from lungscope.cli import show_export
    from lungscope.export.run import export_model, parse_order

    order = parse_order(format, precision, opset)
    made = export_model(chosen_model(run, "RUN"), order, out, data=data, force=force)
    show_export.exported(made, as_json=as_json)
