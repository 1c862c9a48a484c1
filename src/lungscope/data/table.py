"""Rows of a data set as they stand in class folders or in a CSV, before patients and classes are known."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lungscope.data.images.radiograph import IMAGE_SUFFIXES, find_images
from lungscope.errors import ManifestError

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
COLUMNS = ("path", "label", "patient", "split")
# An id column that went unnoticed would let patients leak, so its usual names are known.
PATIENT_COLUMNS = frozenset({"patient", "patient_id", "patientid", "patient id", "subject", "subject_id"})
NO_LABEL = frozenset({"", "nan", "na", "n/a", "null"})
SHOWN = 3


@dataclass(frozen=True)
class Row:
    """One image; what is empty is not known."""

    path: Path
    """Absolute."""
    name: str
    """Relative to the source, so that it is the same on every machine."""
    label: str
    patient: str = field(default="", repr=False)
    split: str = ""
    """"train", "validation" or "test"."""
    extra: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Table:
    """Rows in the order of the source."""

    rows: list[Row]
    extra: tuple[str, ...] = ()
    """Names of the further columns."""
    notes: tuple[str, ...] = ()
    """What was left out, in plain words."""


def read_folder(source: Path) -> Table:
    """Read class folders, or class folders within train, validation and test folders.

    Raises:
        ManifestError: no image, images outside of class folders, or a class folder without any.
    """
    folders = _subfolders(source)
    parts = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if not parts and len(folders) == 1 and any(f.name.lower() in SPLIT_NAMES for f in _subfolders(folders[0])):
        return read_folder(folders[0])  # archives often have one folder around everything
    others = [folder.name for folder in folders if parts and folder not in parts]
    notes = [f"Folders beside train, validation and test are not read: {', '.join(others)}."] if others else []
    rows: list[Row] = []
    for holder in parts or [source]:
        rows += _class_rows(source, holder, split=SPLIT_NAMES[holder.name.lower()] if parts else "")
        if stray := sum(entry.suffix.lower() in IMAGE_SUFFIXES for entry in holder.iterdir() if entry.is_file()):
            notes.append(f"{stray} images directly in {holder.name} belong to no class folder and are left out.")
    _check_class_folders(source, parts or [source], rows)
    return Table(rows, notes=tuple(notes))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith((".", "__")))


def _class_rows(source: Path, holder: Path, split: str) -> Iterator[Row]:
    folders = _subfolders(holder)
    if not folders and find_images(holder):
        raise ManifestError(
            f"{holder}: the images lie directly in it. Put them into one folder per class, "
            "such as NORMAL and PNEUMONIA, or pass a CSV with the columns path and label."
        )
    for folder in folders:
        for path in find_images(folder):
            yield Row(path, path.relative_to(source).as_posix(), folder.name, split=split)


def _check_class_folders(source: Path, holders: list[Path], rows: list[Row]) -> None:
    if not rows:
        raise ManifestError(
            f"{source}: no image in it or below. Check the path; {', '.join(sorted(IMAGE_SUFFIXES))} are read."
        )
    filled = {row.label for row in rows}
    for holder in holders:
        for folder in _subfolders(holder):
            if folder.name not in filled:
                raise ManifestError(f"{folder}: the class folder has no image. Fill it, or move it elsewhere.")


def read_csv(source: Path) -> Table:
    """Read a table in UTF-8 separated by commas, semicolons or tabs; its paths are relative to its folder.

    Raises:
        ManifestError: not such a table, a column or cell that is missing or makes no sense, a file that
            does not exist, or two lines for one file.
    """
    names, lines = read_cells(source)
    columns = _columns(source, names)
    extra = tuple(name for name in columns if name not in COLUMNS)
    rows = [_csv_row(source, number, dict(zip(columns, cells, strict=True)), extra) for number, cells in lines]
    if not rows:
        raise ManifestError(f"{source}: the table has no rows. Add one row per image.")
    _check_files(source, rows, [number for number, _ in lines])
    return Table(rows, extra)


def read_cells(source: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and lines, numbered as in an editor, of a table in UTF-8 separated by commas, semicolons or tabs.

    Raises:
        ManifestError: not such a table, or a line of another length than the header.
    """
    try:
        text = source.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{source}: cannot be read ({error.strerror}). Check the path.") from None
    except UnicodeDecodeError:
        raise ManifestError(
            f"{source}: not a table in UTF-8. Save it as 'CSV UTF-8', or pass a folder of images."
        ) from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header, *lines = [(reader.line_num, row) for row in reader if row] or [(0, [])]
    except csv.Error as error:
        raise ManifestError(f"{source}, line {reader.line_num}: {error}. Check the quotes there.") from None
    names = [name.strip() for name in header[1]]
    for number, cells in lines:
        if len(cells) != len(names):
            raise ManifestError(
                f"{source}, line {number}: {len(cells)} cells where the header has {len(names)}. "
                "Quote cells that contain the separator."
            )
    return names, lines


def _columns(source: Path, names: list[str]) -> list[str]:
    columns = [name.lower() if name.lower() in COLUMNS else name for name in names]
    columns = ["patient" if name.lower() in PATIENT_COLUMNS else name for name in columns]
    if missing := [name for name in ("path", "label") if name not in columns]:
        raise ManifestError(
            f"{source}: the header has no column {' or '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, names)) or 'nothing'}. Call the columns path,label[,patient][,split]."
        )
    if twice := [name for name, n in Counter(columns).items() if n > 1]:
        raise ManifestError(f"{source}: two columns mean {twice[0]!r}. Keep one, or rename the other.")
    return columns


def _csv_row(source: Path, number: int, cells: dict[str, str], extra: tuple[str, ...]) -> Row:
    label, split = cells["label"].strip(), cells.get("split", "").strip()
    if not cells["path"].strip():
        raise ManifestError(f"{source}, line {number}: the path is empty. Fill it in or remove the line.")
    if label.lower() in NO_LABEL:
        raise ManifestError(f"{source}, line {number}: the label is empty. Fill it in or remove the line.")
    if split and split.lower() not in SPLIT_NAMES:
        raise ManifestError(
            f"{source}, line {number}: {split!r} is not a split. Write train, validation or test, or leave it empty."
        )
    return Row(
        path=Path(os.path.abspath(source.parent / cells["path"])),
        name=cells["path"],
        label=label,
        patient=cells.get("patient", "").strip(),
        split=SPLIT_NAMES.get(split.lower(), ""),
        extra=tuple(cells[name] for name in extra),
    )


def _check_files(source: Path, rows: list[Row], numbers: list[int]) -> None:
    first: dict[Path, int] = {}
    for row, number in zip(rows, numbers, strict=True):
        if first.setdefault(row.path, number) != number:
            raise ManifestError(
                f"{source}: lines {first[row.path]} and {number} name the same file, {row.name!r}. "
                "Keep one line per image."
            )
    missing = [row.name for row in rows if not row.path.is_file()]
    if missing:
        shown = ", ".join(map(repr, missing[:SHOWN])) + (", …" if len(missing) > SHOWN else "")
        raise ManifestError(
            f"{source}: {len(missing)} of {len(rows)} files do not exist ({shown}). "
            f"Paths are taken from the folder of the CSV, {source.parent}."
        )
