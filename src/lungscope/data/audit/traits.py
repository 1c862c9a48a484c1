"""What a file and its picture show apart from the patient: a model that reads these cheats."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_opening

from lungscope.data.decode import Record
from lungscope.data.pack import Pack
from lungscope.system.parallel import blockwise

ZONE = 0.2
"""Width of the strips at the left and right edge where letters are looked for, of the picture's side."""
STROKE = 0.055
"""Widest stroke of a letter, of the picture's side; what is broader is anatomy."""
STANDS_OUT = 60
"""Grey levels by which a letter is brighter than what is around it."""
DARK = 90
"""Grey level below which a letter's background lies; bones mostly stand on brighter tissue."""
BORDER = 0.04
"""Width of the frame whose brightness is taken, of the picture's side."""
STILL = 6.0
"""Grey levels of deviation below which a row or column of pixels is a bar, not anatomy."""

Columns = NDArray[np.float32]
"""(N, F), one row per image."""


@dataclass(frozen=True, eq=False)
class Trait:
    """One property of every image."""

    name: str
    group: str
    """"file" for what only the file tells, "picture" for what the pixels show, "table" for a column of the CSV."""
    values: Columns
    """One column, or several that are measured together."""
    loader: str
    """What the loader does about it, in plain words, truthfully."""


RESIZED = "The loader removes it: all images are read at one size. What was averaged away may still show as sharpness."
FILE_TRAITS = (
    ("file size", "The loader removes the number: only pixels reach a model. What made the file large or small stays "
     "in them in part: detail, noise, traces of strong compression."),
    ("width", RESIZED),
    ("height", RESIZED),
    ("aspect", "The loader removes the number: every image is squashed to a square. But that stretches the anatomy, "
     "which a model can see."),
    ("bit depth", "The loader removes it: every image becomes 8 bits of grey."),
    ("format and colour", "The loader removes both: every image becomes 8 bits of grey. Traces of JPEG compression "
     "may stay."),
)  # fmt: skip
PICTURE_TRAITS = (
    ("sharpness", "The loader does not remove it: it survives resizing. It may come from detector, scanner or "
     "compression, and disease blurs too."),
    ("mean brightness", "The loader does not remove it, training only varies it. Disease changes it too."),
    ("contrast", "The loader does not remove it, training only varies it. Disease changes it too."),
    ("border", "The loader does not remove it: bars at the edge and its brightness stay in the picture."),
    ("corner text", "The loader does not remove it: letters and markers at the corners and sides stay in the picture."),
)  # fmt: skip


def measure(pack: Pack, rows: Sequence[int]) -> tuple[Trait, ...]:
    """Every trait of some readable rows of a pack, in the order of the report.

    Sharpness, brightness, contrast, border and corners are measured on the packed pixels, which are what a
    model is shown; everything else is what the file said.
    """
    records = [pack.records[row] for row in rows]
    columns = [*_file_columns(records), *_picture_columns(pack.pixels, rows)]
    named = [*(("file", *each) for each in FILE_TRAITS), *(("picture", *each) for each in PICTURE_TRAITS)]
    return tuple(
        Trait(name, group, column, loader) for (group, name, loader), column in zip(named, columns, strict=True)
    )


def _file_columns(records: Sequence[Record]) -> list[Columns]:
    formats = {name: i for i, name in enumerate(sorted({record.format for record in records}))}
    kinds = [(formats[record.format], "colour to grey" in record.notes) for record in records]
    numbers = [(record.file_bytes, record.width, record.height, record.bits) for record in records]
    size, width, height, bits = np.array(numbers, dtype=np.float32).reshape(-1, 4).T[:, :, None]
    aspect = width / np.maximum(height, 1)
    return [size, width, height, aspect, bits, np.array(kinds, dtype=np.float32).reshape(-1, 2)]


def _picture_columns(pixels: NDArray[np.uint8], rows: Sequence[int]) -> list[Columns]:
    index = np.asarray(rows, dtype=np.int64)

    def look(block: slice) -> tuple[Columns, ...]:
        some = pixels[index[block]].astype(np.float32)
        return _sharpness(some), *_levels(some), _border(some), _corners(some)

    found = blockwise(look, len(index), "Measuring")
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def _sharpness(block: Columns) -> Columns:
    """Variance of the Laplacian, as a share of the picture's own."""
    inner = block[:, 1:-1, 1:-1]
    around = block[:, :-2, 1:-1] + block[:, 2:, 1:-1] + block[:, 1:-1, :-2] + block[:, 1:-1, 2:]
    bent = (around - 4 * inner).var(axis=(1, 2))
    sharpness: Columns = np.log((bent + 1e-3) / (inner.var(axis=(1, 2)) + 1.0))[:, None]
    return sharpness


def _levels(block: Columns) -> tuple[Columns, Columns]:
    return block.mean(axis=(1, 2))[:, None], block.std(axis=(1, 2))[:, None]


def _border(block: Columns) -> Columns:
    """Of each of the four sides, how wide an even bar it has and how bright it is."""
    width = max(1, round(BORDER * block.shape[1]))
    columns = []
    for turned in (block, block[:, ::-1], block.transpose(0, 2, 1), block[:, :, ::-1].transpose(0, 2, 1)):
        lines = turned.std(axis=2) < STILL
        columns += [np.logical_and.accumulate(lines, axis=1).mean(axis=1), turned[:, :width].mean(axis=(1, 2))]
    return np.stack(columns, axis=1).astype(np.float32)


def _corners(block: Columns) -> Columns:
    """Of the upper and lower left and right, the share of pixels that stand out as letters do (white top-hat)."""
    size = block.shape[1]
    width, half, stroke = max(2, round(ZONE * size)), size // 2, max(3, round(STROKE * size))
    columns = []
    for across in (slice(0, width), slice(-width, None)):
        strip = block[:, :, across]
        around = grey_opening(strip, (1, stroke, stroke))
        letters = (strip - around > STANDS_OUT) & (around < DARK)
        columns += [letters[:, :half].mean(axis=(1, 2)), letters[:, half:].mean(axis=(1, 2))]
    return np.stack(columns, axis=1).astype(np.float32)
