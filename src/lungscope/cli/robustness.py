"""`lungscope robustness`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.cli.options import Device, Json, LabelPattern, PatientPattern, Weights, data_source
from lungscope.cli.tables import estimate_cell, estimate_value, plain_table, print_json, print_table, stdout
from lungscope.inference.result import RESEARCH_USE

if TYPE_CHECKING:
    from lungscope.evaluation.strata import Robustness
    from lungscope.experiments.robustness import RobustnessReport


def robustness(
    run: Annotated[Path, typer.Argument(help="A run folder, or a model.onnx with DATA.")],
    data: Annotated[Path | None, typer.Argument(help="Its data with splits; by default its manifest.csv.")] = None,
    split: Annotated[str, typer.Option(help="What the model has not seen: test, validation or all.")] = "test",
    external: Annotated[Path | None, typer.Option(help="Data of the same classes from elsewhere.")] = None,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    leave_out: Annotated[bool, typer.Option("--leave-out", help="Train again without each stratum.")] = False,
    weights: Weights = "imagenet",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model on strata of its data that differ, on corrupted pictures, and on data from elsewhere.

    Writes robustness.json beside a run's model. No image of another hospital is needed.

    Example: lungscope robustness runs/first --leave-out
    """
    from lungscope.experiments.robustness import measure_robustness, robustness_document

    given, elsewhere = (
        data_source(each, patient_pattern, label_pattern) if each else None for each in (data, external)
    )
    found = measure_robustness(
        run, given, split=split, external=elsewhere, leave_out=leave_out, weights=weights, device=device
    )
    if as_json:
        print_json(robustness_document(found))
    else:
        _print(found)


def _print(found: "RobustnessReport") -> None:
    from lungscope.evaluation.strata import Robustness

    stdout.print(
        f"Held-out images of the {found.split} split by stratum. A stratum stands for its whole class; the other class "
        "is everything held out."
    )
    _print_strata("stratum", found.held_out)
    _print_strata("corrupted pictures", found.corrupted)
    if found.external:
        _print_strata("data from elsewhere", Robustness((found.external,)))
    if found.left_out:
        _print_strata("stratum, never seen in training", found.left_out)
    stdout.print(RESEARCH_USE)


def _print_strata(title: str, found: "Robustness") -> None:
    """A table of strata; below it the worst of them, where there are several."""
    table = plain_table(title, "images", "AUROC", "ECE", "sens.", "spec.")
    for stratum in found.strata:
        more = (estimate_value(estimate) for estimate in (stratum.sensitivity, stratum.specificity))
        table.add_row(stratum.name, str(stratum.n), estimate_cell(stratum.auroc), estimate_value(stratum.ece), *more)
    # On a narrow terminal names go over two lines; figures are never cut.
    table.columns[0].overflow, table.columns[0].no_wrap = "fold", False
    for column in table.columns[1:]:
        column.min_width = 6
    table.columns[2].min_width = 17
    print_table(table)
    area, error = found.worst("auroc"), found.worst("ece")
    if len(found.strata) > 1 and area and error:
        stdout.print(
            f"Worst AUROC {estimate_value(area.auroc)} ({area.name}); largest calibration error "
            f"{estimate_value(error.ece)} ({error.name})."
        )
