"""What lies beside a report: its model card, its checklists, and its data as JSON and CSV."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lungscope import __version__
from lungscope.bundle.bundle import Card
from lungscope.reports.checklists import (
    INTRODUCTION,
    Checklist,
    checklists_csv,
    checklists_markdown,
    fill_checklists,
    standing,
    wanted,
)
from lungscope.reports.csv_files import curve_csvs, estimates_csv
from lungscope.reports.facts import Origin, gather
from lungscope.reports.html import Report
from lungscope.reports.model_card import ModelCard, card_markdown, model_card
from lungscope.system.files import write_atomically

FILES = {
    "model_card.html": "model card and checklists",
    "model_card.md": "model card as text",
    "checklists.md": "CLAIM and TRIPOD+AI as text",
    "checklists.csv": "the same as a table",
    "evaluation.json": "every figure",
    "estimates.csv": "every figure as a table",
    "predictions.csv": "every image",
}
"""What a report links to, with words for it."""
CURVES = "curves"
CURVE_NAMES = ("roc.csv", "roc_interval.csv", "precision_recall.csv", "reliability.csv")


def linked(report: Report) -> dict[str, str]:
    """The files that lie beside a report, with words for them."""
    curves = {f"{CURVES}/{name}": "points of the curve" for name in curve_csvs(report.evaluation.curves)}
    return FILES | curves


def write_report_files(
    out: Path, report: Report, card: Card, document: Mapping[str, Any], origin: Origin
) -> None:
    """Write everything beside a report but its predictions.

    Args:
        out: folder of the report.
        report: what the report shows.
        card: of the model.
        document: the content of evaluation.json.
        origin: what the images evaluated were to the model.

    Raises:
        OutputError: the place cannot be written.
    """
    filled, lists = model_card(report, card, origin), fill_checklists(gather(report, card, origin))
    curves = curve_csvs(report.evaluation.curves)
    contents = {
        "model_card.html": render_card(filled, lists),
        "model_card.md": card_markdown(filled),
        "checklists.md": checklists_markdown(lists),
        "checklists.csv": checklists_csv(lists),
        "estimates.csv": estimates_csv(dict(document)),
        **{f"{CURVES}/{name}": content for name, content in curves.items()},
        "evaluation.json": json.dumps(document, indent=2, allow_nan=False) + "\n",
    }
    for name in set(CURVE_NAMES) - curves.keys():
        (out / CURVES / name).unlink(missing_ok=True)  # of an evaluation that stood here before
    for name, content in contents.items():
        write_atomically(out / name, content)


def render_card(card: ModelCard, lists: tuple[Checklist, ...]) -> str:
    """Model card and checklists as one self-contained page."""
    environment = Environment(
        loader=PackageLoader("lungscope.reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("model_card.html").render(
        card=card,
        checklists=lists,
        introduction=INTRODUCTION,
        standing=standing,
        wanted=wanted,
        version=__version__,
    )
