"""`lungscope describe`."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.cli.options import Json, chosen_model
from lungscope.cli.tables import estimate_cell, plain_table, print_json, print_table, stdout
from lungscope.inference.result import RESEARCH_USE

if TYPE_CHECKING:
    from lungscope.bundle.bundle import Bundle
    from lungscope.bundle.card import Card
    from lungscope.bundle.input_check import InputCheck


def describe(
    model: Annotated[
        Path | None, typer.Argument(help="A run folder or a model.onnx; without it the bundled model.")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Share of diseased where it will be used; adds PPV and NPV.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what a model is: classes, operating points, calibration, data, versions, checksum.

    Example: lungscope describe runs/first
    """
    from lungscope.bundle.bundle import load_bundle

    found = load_bundle(chosen_model(model, "RUN"))
    if as_json:
        print_json({"sha256": found.sha256, **asdict(found.card)})
        return
    stdout.print(found.path)
    for name, text in _facts(found):
        stdout.print(f"  {name:<12} {text}")
    stdout.print("\nOperating points, chosen on validation; the first is the default:")
    _print_points(found.card, prevalence)
    stdout.print(RESEARCH_USE)


def _facts(found: "Bundle") -> Iterator[tuple[str, object]]:
    from lungscope.bundle.default_model import CARD as BUNDLED_CARD

    card = found.card
    yield "sha256", found.sha256
    yield "classes", ", ".join(card.classes)
    yield "input", f"{card.size} × {card.size} px, 8-bit grey"
    yield "recipe", card.recipe_name
    yield "calibration", f"{card.calibration.method}, scale {card.calibration.scale:.3f}"
    yield "data", ", ".join(f"{name} {value}" for name, value in card.data.items())
    yield "versions", ", ".join(f"{name} {value}" for name, value in card.versions.items())
    yield "input check", _input_check(card.input_check)
    for record in card.parity:
        yield (
            "parity",
            (
                f"{record.engine}: largest |Δp| {record.largest_difference:.1e} and {record.flips} flipped decisions "
                f"on {record.images} validation images"
            ),
        )
    if card.export:
        yield "export", card.export
    if said := card.statement:
        yield "trained on", said.trained_on
        yield "licence", said.licence
        yield "attribution", said.attribution
    for name in ("model_card.html", BUNDLED_CARD):
        if (page := found.path.with_name(name)).exists():
            yield "model card", page


def _input_check(input_check: "InputCheck | None") -> str:
    if input_check is None:
        return "none: whatever can be read is assessed"
    return (
        f"assesses {input_check.coverage:.1%} of images like its {input_check.images} validation images "
        f"(distance up to {input_check.limit():.2f}); checks: {', '.join(input_check.checks[1:])}"
    )


def _print_points(card: "Card", prevalence: float | None) -> None:
    """The operating points of a model, with predictive values where a prevalence is given."""
    from lungscope.stats.predictive import predictive_estimates

    table = plain_table("name", "goal", "threshold", "sensitivity", "specificity")
    for point in card.operating_points:
        estimates = (estimate_cell(point.sensitivity), estimate_cell(point.specificity))
        table.add_row(point.name, point.goal, f"{point.threshold:.3f}", *estimates)
    print_table(table)
    if prevalence is None:
        return
    stdout.print(f"\nWhere {100 * prevalence:.3g}% are diseased:")
    values = plain_table("name", "PPV", "NPV")
    for point in card.operating_points:
        both = predictive_estimates(point.sensitivity, point.specificity, prevalence)
        values.add_row(point.name, *map(estimate_cell, both))
    print_table(values)
