"""Many files through one model: rows as CSV, JSON lines or text, and heat maps as pictures."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.bundle.card import Card
from lungscope.data.images.radiograph import find_images, read_radiograph
from lungscope.errors import ConfigError, DataError, ManifestError, OutputError
from lungscope.inference.overlay import overlay
from lungscope.inference.result import ImageResult
from lungscope.system.files import cannot_write, discard, write_atomically

FORMATS = (".csv", ".jsonl")


@dataclass(frozen=True)
class Source:
    """One file to read and the folder it was found in, so that its place below is kept in outputs."""

    path: Path
    root: Path


def find_sources(inputs: Sequence[Path]) -> list[Source]:
    """Files as named, and every image below the folders named, in a stable order.

    Raises:
        ManifestError: a folder holds no image, or an input does not exist.
    """
    sources: list[Source] = []
    for given in inputs:
        if given.is_dir():
            found = find_images(given)
            if not found:
                raise ManifestError(
                    f"{given}: no image in this folder. Name one with PNG, JPEG, TIFF or DICOM files."
                )
            sources += (Source(path, given) for path in found)
        elif given.exists():
            sources.append(Source(given, given.parent))
        else:
            raise ManifestError(f"{given}: there is no such file or folder. Check the path.")
    return sources


def row(reading: ImageResult, card: Card) -> dict[str, Any]:
    """One reading as named columns; the columns are the same for every reading of a model.

    What is not assessed has no finding; its probabilities stay, beside the reason in `not_assessed`.
    """
    decision, p_abnormal = reading.decision, reading.p_abnormal
    probabilities = reading.probabilities or (None,) * len(card.classes)
    return {
        "file": str(reading.source or ""),
        "finding": reading.finding,
        "p_abnormal": None if p_abnormal is None else round(p_abnormal, 6),
        "operating_point": decision.operating_point if decision else None,
        "threshold": decision.threshold if decision else None,
        **{
            f"p_{name}": None if p is None else round(p, 6)
            for name, p in zip(card.classes, probabilities, strict=True)
        },
        "prediction_set": None if reading.prediction_set is None else " | ".join(reading.prediction_set),
        "not_assessed": reading.not_assessed,
        "distance": None if reading.distance is None else round(reading.distance, 4),
        "notes": "; ".join(reading.notes),
        "error": reading.error,
    }


def write_table(readings: Iterable[ImageResult], path: Path, card: Card) -> int:
    """Write readings to a CSV or JSONL file, which appears whole when all are written.

    Returns:
        How many files failed.

    Raises:
        ConfigError: another file ending.
        OutputError: the file cannot be written.
    """
    failures = 0
    with _open_whole(path) as file:
        write = _writer(file, path.suffix, card)
        for reading in readings:
            write(reading)
            failures += bool(reading.error)
    return failures


def check_table(path: Path) -> None:
    """Refuse, before any work, a table that could not be written.

    Raises:
        ConfigError: the ending is not one of `FORMATS`.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"--out {path}: this kind of file cannot be written. Use {' or '.join(FORMATS)}.")


def write_overlays(
    readings: Iterable[ImageResult], sources: Sequence[Source], folder: Path
) -> Iterator[ImageResult]:
    """Draw over each radiograph what speaks for disease, or for its class where none is healthy; pass readings on.

    Nothing is drawn over what is not assessed.

    A picture is named after its file and the folders above it, so that no two of them meet.
    """
    for reading, source in zip(readings, sources, strict=True):
        if (heat := reading.abnormality_heatmap) is not None and not reading.not_assessed:
            below = source.path.relative_to(source.root)
            reading = _draw(reading, source.path, heat, folder / below.with_name(below.name + ".png"))
        yield reading


def _draw(reading: ImageResult, image: Path, heat: NDArray[np.float32], path: Path) -> ImageResult:
    try:
        radiograph = read_radiograph(image)
    except DataError as error:  # it vanished or changed since it was read; its probabilities stand
        return replace(reading, notes=(*reading.notes, f"no heat map: {error}"))
    picture = BytesIO()
    Image.fromarray(overlay(radiograph.pixels, heat)).save(picture, "PNG")
    write_atomically(path, picture.getvalue())
    return reading


@contextmanager
def _open_whole(path: Path) -> Iterator[TextIO]:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield file
        os.replace(part, path)
    except OSError as error:
        raise OutputError(cannot_write(path, error)) from None
    finally:
        discard(part)


def _writer(file: TextIO, suffix: str, card: Card) -> Callable[[ImageResult], object]:
    if suffix == ".jsonl":
        return lambda reading: file.write(json.dumps(row(reading, card)) + "\n")
    columns = csv.DictWriter(file, list(row(ImageResult(), card)), lineterminator="\n")
    columns.writeheader()
    return lambda reading: columns.writerow(row(reading, card))
