"""`lungscope bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.cli.options import Data, Weights
from lungscope.cli.tables import plain_table, stdout
from lungscope.errors import RuntimeUnavailable

if TYPE_CHECKING:
    from benchmarks.bench import Benchmark


def bench(
    data: Data,
    weights: Weights = "none",
    full_size: Annotated[Path | None, typer.Option(help="Class folders of radiographs at their original size.")] = None,
    only: Annotated[str, typer.Option(help="Sections to measure, separated by commas.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for bench.json, bench.md and bench.svg.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short turns; the ratios are less certain.")] = False,
    keras_python: Annotated[str, typer.Option(help="An interpreter that has TensorFlow.")] = "",
    xrv_python: Annotated[str, typer.Option(help="An interpreter that has TorchXRayVision.")] = "",
) -> None:
    """Measure this machine: Lungscope beside plain scripts of the same work and beside the limits, in one run.

    It needs a checkout: the scripts of the peers are not part of the installed package.

    Sections: cold, latency, bulk, full-size, dicom, heatmap, resnet50, frozen, finetune, gpu.

    Example: lungscope bench chest_xray/train --weights mobilenetv2.safetensors --only bulk,latency --out bench
    """
    try:
        from benchmarks.bench import run_benchmark
        from benchmarks.table import write_benchmark
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("benchmarks"):
            raise
        raise RuntimeUnavailable(
            "The benchmarks are not part of the installed package. Clone the repository, and there run: "
            "pip install -e '.[train]'."
        ) from None
    names = [name.strip() for name in only.split(",") if name.strip()]
    found = run_benchmark(
        data, weights, full_size, only=names, quick=quick, keras_python=keras_python, xrv_python=xrv_python
    )
    if out:
        write_benchmark(found, out)
    print_benchmark(found)


def print_benchmark(found: "Benchmark") -> None:
    """Print every section with its contenders, then the targets."""
    from benchmarks.table import COLUMNS, TARGET_COLUMNS, heading, rows, verdict_cells, verdicts

    stdout.print(f"{found.machine}, {found.cores} cores, {found.seconds / 60:.1f} minutes")
    for one in found.found:
        table = plain_table(*COLUMNS[:5])
        for cells in rows(one):
            table.add_row(*cells[:5])
        stdout.print(f"\n{heading(one)}", style="bold")
        stdout.print(table)
    targets = plain_table(*TARGET_COLUMNS[:4])
    for verdict in verdicts(found):
        targets.add_row(*verdict_cells(verdict)[:4])
    stdout.print("", targets, sep="\n")
    for reason in found.missing:
        stdout.print(f"Not measured. {reason}")
