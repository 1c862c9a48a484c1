"""One prediction on one page, for printing. Research use only stands on it."""

from contextlib import suppress
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lungscope.bundle.card import Card
from lungscope.errors import LungscopeError
from lungscope.inference.overlay import overlay
from lungscope.inference.result import RESEARCH_USE
from lungscope.serve.store.records import Record, from_us

A4_INCHES = (8.27, 11.69)
WIDTH = 88
"""Letters on a line."""
MOST_LINES = 24


def write_pdf(record: Record, card: Card, name: str | None, pixels: NDArray[np.uint8] | None) -> bytes:
    """Draw a page.

    Args:
        record: what was answered.
        card: of the model that answered.
        name: of the file, when it is known.
        pixels: (H, W) of the radiograph, when they are still to be had.
    """
    page = Figure(figsize=A4_INCHES)
    page.text(0.08, 0.95, "Lungscope", size=18, weight="bold")
    page.text(0.08, 0.93, RESEARCH_USE, size=10, color="#a02020", weight="bold")
    if pixels is not None:
        _draw(page, record, pixels)
    y = 0.5 if pixels is not None else 0.88
    for label, value in _facts(record, card, name):
        for i, line in enumerate(_wrap(value)):
            page.text(0.08, y, label if i == 0 else "", size=9, color="#555555", va="top")
            page.text(0.28, y, _plain(line), size=9, va="top")
            y -= 0.017
    page.text(0.08, 0.04, f"Prediction {record.id}. {RESEARCH_USE}", size=8, color="#555555")
    out = BytesIO()
    FigureCanvasPdf(page)
    page.savefig(out, format="pdf", metadata={"Title": "Lungscope prediction", "CreationDate": None})
    return out.getvalue()


def _draw(page: Figure, record: Record, pixels: NDArray[np.uint8]) -> None:
    for left, title, picture in (
        (0.08, "Radiograph", pixels),
        (0.52, "Heat map: where, not how strong", _overlaid(record, pixels)),
    ):
        axes = page.add_axes((left, 0.53, 0.4, 0.35))
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, size=9, loc="left")
        axes.set_axis_off()


def _overlaid(record: Record, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels if record.heatmap is None else overlay(pixels, record.heatmap.astype(np.float32))


def _facts(record: Record, card: Card, name: str | None) -> list[tuple[str, str]]:
    image = record.image
    facts = [("File", name or "name not kept"), ("Assessed", f"{from_us(record.created_us):%Y-%m-%d %H:%M:%S} UTC")]
    facts += _answer(record, card)
    if image.width:
        facts.append(("Image", f"{image.width} × {image.height} pixels, {image.bits} bits, {image.format}"))
    if record.notes:
        facts.append(("Notes", "; ".join(record.notes)))
    if record.feedback:
        facts.append(("Reader", f"{record.feedback.verdict}s ({record.feedback.given_by})"))
    facts.append(("Model", f"{record.model_sha256[:16]} on {record.engine}"))
    return facts


def _answer(record: Record, card: Card) -> list[tuple[str, str]]:
    found = record.assessment
    if found is None:
        return [("Result", "NOT ASSESSED"), ("Reason", record.reason)]
    facts = [("Result", found.finding), ("Calibrated probability", f"{found.ranking_score:.1%}")]
    facts += [(f"   {name}", f"{p:.1%}") for name, p in found.probabilities.items()]
    if found.operating_point is not None:
        facts.append(("Operating point", f"{found.operating_point}, positive from {found.threshold:.3f}"))
        with suppress(LungscopeError):  # another model answered, whose points this one does not have
            point = card.operating_point(found.operating_point)
            if point.threshold == found.threshold:
                measured = f"sensitivity {point.sensitivity}, specificity {point.specificity} (95 % intervals)"
                facts.append(("On validation", measured))
    return facts


def _wrap(text: str) -> list[str]:
    # By letters: a file name may be one long word.
    return [text[start : start + WIDTH] for start in range(0, len(text), WIDTH)][:MOST_LINES] or [""]


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # Matplotlib would read it as a formula
