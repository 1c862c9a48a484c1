"""`lungscope export`."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.cli.options import Json, LabelPattern, PatientPattern, chosen_model, data_source
from lungscope.cli.tables import plain_table, print_json, print_table, stdout

if TYPE_CHECKING:
    from lungscope.bundle.export_record import Agreement, Export
    from lungscope.export.run import Exported


def export(
    format: Annotated[str, typer.Option("--format", "-f", help="onnx, openvino or litert (TensorFlow Lite).")],
    out: Annotated[Path, typer.Option(help="FILE.onnx, or the folder of any other format.")],
    run: Annotated[
        Path | None, typer.Argument(help="A run folder, or a model.onnx with --data; without it the bundled model.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, int8, fp16 or bf16, as the format has it.")] = "fp32",
    data: Annotated[
        Path | None, typer.Option(help="Labelled images to check on; by default the run's validation split.")
    ] = None,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    opset: Annotated[int | None, typer.Option(help="Of --format onnx; by default the run's own.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a former export in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Write a model in another format, checked against the original on validation images first.

    What is too far from it is not written, with exit 2. An exported model can be used wherever a run can.

    Example: lungscope export runs/first --format openvino --precision int8 --out exported, then: lungscope predict
    new/*.jpeg --model exported
    """
    from lungscope.export.run import export_model, parse_order

    order = parse_order(format, precision, opset)
    images = data_source(data, patient_pattern, label_pattern) if data else None
    done = export_model(chosen_model(run, "RUN"), order, out, data=images, force=force)
    if as_json:
        print_json({**asdict(done), "path": str(done.path)})
    else:
        _print(done)


def _print(done: "Exported") -> None:
    """What was written, how far it is from the original, and what it brings on this machine."""
    stdout.print(f"{done.path}: {done.export.made_by}")
    if found := done.export.agreement:
        stdout.print(f"Held against the original on {found.images} images ({done.source}):")
        table = plain_table("difference", "found", "accepted")
        for row in _differences(done.export, found):
            table.add_row(*row)
        print_table(table)
    table = plain_table("on this machine", "original", "export")
    before, after = done.original_speed, done.speed
    table.add_row("engine", before.engine, after.engine)
    table.add_row("size", f"{done.original_bytes / 1e6:.1f} MB", f"{done.bytes / 1e6:.1f} MB")
    table.add_row("many images", f"{before.images_per_s:.0f}/s", f"{after.images_per_s:.0f}/s")
    table.add_row("one image", f"{before.milliseconds:.1f} ms", f"{after.milliseconds:.1f} ms")
    stdout.print()
    print_table(table)
    stdout.print(f"sha256 {done.sha256}")


def _differences(export: "Export", found: "Agreement") -> Iterator[tuple[str, str, str]]:
    from lungscope.export.parity import TOLERANCES, flips_accepted

    allowed, most = TOLERANCES[export.precision], flips_accepted(export.precision, found.images)
    yield "largest |Δp|", f"{found.largest_difference:.2g}", f"{allowed.probability:g}"
    for flip in found.flips:
        yield f"decisions flipped, {flip.decision}", str(flip.images), str(most)
    yield f"AUROC, now {found.auroc:.4f}", f"{found.auroc_difference:+.4f}", f"±{allowed.auroc:g}"
    yield "heat maps, relative", f"{found.of('heatmap'):.2g}", f"{allowed.heatmap:g}"
    for each in found.outputs:
        if each.output not in ("heatmap", "probabilities"):
            yield f"{each.output}, relative", f"{each.relative:.2g}", "–"
