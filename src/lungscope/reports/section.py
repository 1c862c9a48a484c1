"""A section of a report: a topic with its warnings, tables, plots and pictures."""

import base64
import io
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from lungscope.reports.summary import Cell

Row = tuple[str | Cell, ...]


class SectionKey(StrEnum):
    """Every section that a page can have beside its fixed ones; the value is its place in the page, for links."""

    SHIFT = "compared-with-validation"
    CALIBRATION = "calibration-effect"
    DECISION_CURVE = "decision-curve"
    SUBGROUPS = "subgroups"
    PREVALENCE = "prevalence"
    INPUT_CHECK = "input-check"
    HEATMAPS = "heat-maps"
    STRATA = "strata"
    LEARNING_CURVE = "learning-curve"
    AUDIT_CLASSES = "classes"
    SHORTCUTS = "shortcuts"
    PATIENTS = "patients"
    IDENTICAL = "identical-pictures"
    NEAR_IDENTICAL = "near-identical-pictures"


@dataclass(frozen=True)
class Plot:
    """A plot and what it means."""

    name: str
    svg: Markup
    """Inline, with a text alternative."""
    meaning: str
    """Its meaning in one sentence."""


@dataclass(frozen=True)
class Table:
    """Values in rows; the first column names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    meaning: str
    """Its meaning in one sentence."""


@dataclass(frozen=True)
class Picture:
    """An image and what is on it."""

    picture: NDArray[np.uint8] = field(repr=False)
    """(H, W) grey or (H, W, 3) colour."""
    caption: str

    @property
    def uri(self) -> str:
        """The picture as a PNG in a data URI."""
        return data_uri(self.picture)


@dataclass(frozen=True)
class Section:
    """One topic of a report, such as the subgroups."""

    key: SectionKey
    title: str
    lead: str
    """What it asks and what was found, in a sentence or two."""
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Picture, ...] = ()


def slug(text: str) -> str:
    """A text as a place in a page."""
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Pixels (H, W) or (H, W, 3) as a PNG that a page carries itself."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")
