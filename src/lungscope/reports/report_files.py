"""What lies beside a report: its model card, its checklists, and its data as JSON and CSV."""

import json
from pathlib import Path

from lungscope.bundle.card import Card
from lungscope.evaluation.evaluate import Evaluation
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
from lungscope.reports.facts import gather
from lungscope.reports.model_card import ModelCard, card_markdown, model_card
from lungscope.reports.page import render_page
from lungscope.reports.plain import Document
from lungscope.reports.report import Origin, Report
from lungscope.system.files import write_atomically

ESTIMATES = {"evaluation.json": "every estimate", "estimates.csv": "every estimate as a table"}
"""What a report of scores links to, with words for it."""
FILES = {
    "model_card.html": "model card and checklists",
    "model_card.md": "model card as text",
    "checklists.md": "CLAIM and TRIPOD+AI as text",
    "checklists.csv": "the same as a table",
    **ESTIMATES,
    "predictions.csv": "every image",
}
"""What a report of a model links to."""
CURVES = "curves"
CURVE_NAMES = ("roc.csv", "roc_interval.csv", "precision_recall.csv", "reliability.csv")


def linked(report: Report) -> dict[str, str]:
    """The files that lie beside a report, with words for them."""
    curves = {f"{CURVES}/{name}": "points of the curve" for name in curve_csvs(report.evaluation.curves)}
    return (FILES if report.origin else ESTIMATES) | curves


def write_report_files(out: Path, report: Report, card: Card, document: Document, origin: Origin) -> None:
    """Write everything beside a report but its predictions.

    Args:
        out: folder of the report.
        report: what the report shows.
        card: of the model.
        document: the content of evaluation.json.
        origin: of the model and of the images evaluated.

    Raises:
        OutputError: the place cannot be written.
    """
    filled, lists = model_card(report, card, origin), fill_checklists(gather(report, card, origin))
    contents = {
        "model_card.html": render_card(filled, lists),
        "model_card.md": card_markdown(filled),
        "checklists.md": checklists_markdown(lists),
        "checklists.csv": checklists_csv(lists),
    }
    for name, content in contents.items():
        write_atomically(out / name, content)
    write_estimates(out, report.evaluation, document)


def write_estimates(out: Path, evaluation: Evaluation, document: Document) -> None:
    """Write the numbers behind a report: evaluation.json, and the same and the points of every curve as CSV.

    Raises:
        OutputError: the place cannot be written.
    """
    curves = curve_csvs(evaluation.curves)
    for name in set(CURVE_NAMES) - curves.keys():
        (out / CURVES / name).unlink(missing_ok=True)  # of an evaluation that stood here before
    for name, content in curves.items():
        write_atomically(out / CURVES / name, content)
    write_atomically(out / "estimates.csv", estimates_csv(document))
    write_atomically(out / "evaluation.json", json.dumps(document, indent=2, allow_nan=False) + "\n")


def render_card(card: ModelCard, lists: tuple[Checklist, ...]) -> str:
    """Model card and checklists as one self-contained page."""
    return render_page(
        "model_card.html", card=card, checklists=lists, introduction=INTRODUCTION, standing=standing, wanted=wanted
    )
