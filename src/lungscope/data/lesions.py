"""Where the disease lies, for images of which somebody marked it: ellipses of phantoms, or boxes."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.data.images.radiograph import read_radiograph
from lungscope.data.manifest import Manifest
from lungscope.errors import ManifestError

ELLIPSES, BOXES = "lesions.csv", "boxes.csv"
ELLIPSE = ("x", "y", "radius_x", "radius_y")
BOX = ("x", "y", "width", "height")
LEVELS = 3
"""Folders above an image in which the table may lie: data/train/PNEUMONIA/image.png has three."""


@dataclass(frozen=True)
class Region:
    """A marked place, in fractions of the picture's width and height."""

    x: float
    y: float
    """Of its centre."""
    radius_x: float
    radius_y: float
    box: bool = False
    """A rectangle instead of an ellipse."""


@dataclass(frozen=True)
class Lesions:
    """What is marked on N images, and by which table it is known."""

    regions: tuple[tuple[Region, ...], ...]
    """N rows; empty where nothing is marked."""
    source: str


def find_lesions(manifest: Manifest) -> Lesions | None:
    """The marked places of a data set; None when none of its images has any.

    Looked for in this order: columns x, y, width, height of the CSV (one box per image); `lesions.csv` (path, x,
    y, radius_x, radius_y: fractions of the picture) or `boxes.csv` (path, x, y, width, height), both in a folder
    above the images, their paths relative to it, one line per place. A box's x and y are its upper left corner;
    all four are pixels of the picture as it is stored.

    Raises:
        ManifestError: a table of that name or those columns make no sense.
    """
    columns = {name.lower(): name for name in manifest.extra}
    if all(name in columns for name in BOX):
        cells = zip(*(manifest.extra[columns[name]] for name in BOX), strict=True)
        regions = tuple(_cell_box(manifest, row, texts) for row, texts in enumerate(cells))
        return _known(regions, f"the columns {', '.join(BOX)}")
    for name, numbers in ((ELLIPSES, ELLIPSE), (BOXES, BOX)):
        found = _Tables(name, numbers)
        regions = tuple(found.regions(path) for path in manifest.paths)
        if lesions := _known(regions, name):
            return lesions
    return None


def mask(regions: tuple[Region, ...], size: int) -> NDArray[np.bool_]:
    """(size, size), true where a picture squashed to that size shows one of the regions."""
    place = (np.arange(size) + 0.5) / size
    covered = np.zeros((size, size), bool)
    for each in regions:
        across, down = (place - each.x) / each.radius_x, (place - each.y) / each.radius_y
        if each.box:
            covered |= (np.abs(down) <= 1)[:, None] & (np.abs(across) <= 1)[None, :]
        else:
            covered |= (down**2)[:, None] + (across**2)[None, :] <= 1
    return covered


class _Tables:
    """The tables of one name in the folders above images, each read once."""

    def __init__(self, name: str, numbers: tuple[str, ...]) -> None:
        self.name, self.numbers = name, numbers
        self.read: dict[Path, Mapping[str, list[tuple[float, ...]]] | None] = {}

    def regions(self, image: Path) -> tuple[Region, ...]:
        for folder in image.parents[:LEVELS]:
            if folder not in self.read:
                table = folder / self.name
                self.read[folder] = _rows(table, self.numbers) if table.is_file() else None
            if (rows := self.read[folder]) is not None:
                marked = rows.get(image.relative_to(folder).as_posix(), [])
                return _boxes(image, marked) if self.name == BOXES else tuple(_ellipse(each) for each in marked)
        return ()


def _ellipse(numbers: tuple[float, ...]) -> Region:
    x, y, radius_x, radius_y = numbers
    return Region(x, y, radius_x, radius_y)


def _rows(table: Path, numbers: tuple[str, ...]) -> dict[str, list[tuple[float, ...]]]:
    try:
        reader = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"), newline=""))
    except (OSError, UnicodeDecodeError):
        raise ManifestError(f"{table}: cannot be read as a table in UTF-8. Correct it, or move it away.") from None
    if missing := [name for name in ("path", *numbers) if name not in (reader.fieldnames or ())]:
        raise ManifestError(
            f"{table}: the header has no column {missing[0]!r}. It needs path,{','.join(numbers)}; or move it away."
        )
    rows: dict[str, list[tuple[float, ...]]] = {}
    for row in reader:
        texts = [row[name] or "" for name in numbers]
        rows.setdefault(row["path"], []).append(_place(texts, f"{table}, line {reader.line_num}", numbers))
    return rows


def _cell_box(manifest: Manifest, row: int, texts: tuple[str, ...]) -> tuple[Region, ...]:
    if not any(text.strip() for text in texts):
        return ()
    return _boxes(manifest.paths[row], [_place(texts, f"Row {row + 1} of the images", BOX)])


def _place(texts: tuple[str, ...] | list[str], where: str, names: tuple[str, ...]) -> tuple[float, ...]:
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        numbers = ()
    if not numbers or not all(map(isfinite, numbers)) or min(numbers) < 0 or min(numbers[2:]) <= 0:
        raise ManifestError(
            f"{where}: {', '.join(names)} are {', '.join(map(repr, texts))}; expected numbers from 0, the last two "
            "above 0. Correct them, or leave all four out."
        )
    if names == ELLIPSE and max(numbers) > 1:
        raise ManifestError(
            f"{where}: {', '.join(names)} are fractions of the picture, 0 to 1, and one is {max(numbers):g}. "
            f"Divide by width and height, or give pixels as {','.join(BOX)} in {BOXES}."
        )
    return numbers


def _boxes(image: Path, boxes: list[tuple[float, ...]]) -> tuple[Region, ...]:
    if not boxes:
        return ()
    stored = read_radiograph(image, size=32)  # small: only what the file says of its size is wanted
    return tuple(_as_region(image, box, stored.width, stored.height) for box in boxes)


def _as_region(image: Path, box: tuple[float, ...], width: int, height: int) -> Region:
    x, y, wide, high = box
    if x + wide > width * 1.01 or y + high > height * 1.01:
        raise ManifestError(
            f"{image}: a box reaches to ({x + wide:g}, {y + high:g}) and the picture has {width} × {height} pixels. "
            "Boxes are in pixels of the picture as it is stored; scale them to it."
        )
    return Region((x + wide / 2) / width, (y + high / 2) / height, wide / 2 / width, high / 2 / height, box=True)


def _known(regions: tuple[tuple[Region, ...], ...], source: str) -> Lesions | None:
    return Lesions(regions, source) if any(regions) else None
