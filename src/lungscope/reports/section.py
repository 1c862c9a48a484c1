"""A part of a report: a topic with its warnings, tables, drawings and pictures."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from lungscope.reports.summary import Cell


@dataclass(frozen=True)
class Plot:
    """A drawing and what it means."""

    name: str
    picture: Markup
    """Inline SVG with a text alternative."""
    reading: str
    """Its meaning in one sentence."""


@dataclass(frozen=True)
class Table:
    """Figures in rows; the first column names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    reading: str
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

    title: str
    lead: str
    """What it asks and what was found, in a sentence or two."""
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Picture, ...] = ()

    @property
    def anchor(self) -> str:
        """Its place in the page, for links."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower()).strip("-")


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Pixels (H, W) or (H, W, 3) as a PNG that a page carries itself."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")
