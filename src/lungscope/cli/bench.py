"""The command that measures this machine."""

from pathlib import Path
from typing import Annotated

import typer

from lungscope.cli.options import Data, Weights


def add_to(app: typer.Typer) -> None:
    """Make the command part of the command line."""
    app.command()(bench)


def bench(
    data: Data,
    weights: Weights = "none",
    full_size: Annotated[
        Path | None, typer.Option(help="Class folders of radiographs at their original size.")
    ] = None,
    only: Annotated[str, typer.Option(help="Sections to measure, separated by commas.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for bench.json, bench.md and bench.svg.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short turns; the ratios are less certain.")] = False,
    keras_python: Annotated[str, typer.Option(help="An interpreter that has TensorFlow.")] = "",
    xrv_python: Annotated[str, typer.Option(help="An interpreter that has TorchXRayVision.")] = "",
) -> None:
    """Measure this machine: ours beside plain scripts of the same work and beside the limits, in one run.

    Sections: cold, latency, bulk, full-size, dicom, heatmap, resnet50, frozen, finetune, gpu.

    Example: lungscope bench chest_xray/train --weights mobilenetv2.safetensors --only bulk,latency --out bench
    """
    from benchmarks.bench import run_benchmark
    from benchmarks.table import write_benchmark
    from lungscope.cli import show

    names = [name.strip() for name in only.split(",") if name.strip()]
    found = run_benchmark(
        data, weights, full_size, only=names, quick=quick, keras_python=keras_python, xrv_python=xrv_python
    )
    if out:
        write_benchmark(found, out)
    show.benchmark(found)
