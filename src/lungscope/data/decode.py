"""Files to pixels of one size on all cores, in order and in bounded memory; a bad file is a record, never a stop."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.errors import DataError
from lungscope.system.parallel import in_order

BLOCK = 16
"""Files that a thread takes at a time."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known about one file; of an unreadable one, only the digest, its size and the error."""

    sha256: str
    """Of the file's bytes; empty when not even these could be read."""
    pixel_sha256: str
    """Of the packed pixels; empty when unreadable."""
    width: int
    height: int
    """In pixels, as stored."""
    bits: int
    format: str
    file_bytes: int
    notes: tuple[str, ...]
    error: str
    """Why it could not be read; empty when it was."""
    patient: str = field(default="", repr=False)
    """SHA-256 of the DICOM PatientID, which itself is not kept; empty where there is none."""
    foreign: str = ""
    """Why it cannot be a frontal radiograph by what its file says; empty when it can."""

    def radiograph(self, pixels: NDArray[np.uint8]) -> Radiograph:
        """What was read from the file but for the patient, with its packed pixels (S, S)."""
        return Radiograph(
            pixels, self.width, self.height, self.bits, self.format, self.file_bytes, self.sha256, self.notes,
            foreign=self.foreign,
        )  # fmt: skip


def decode(paths: Sequence[Path], size: int, workers: int) -> Iterator[tuple[NDArray[np.uint8], list[Record]]]:
    """Blocks of pixels (n, size, size) with their records, in the order of `paths`; unreadable rows are 0."""
    return in_order(lambda block: _decode_block(block, size), _blocks(paths), workers)


def file_digests(paths: Sequence[Path], workers: int) -> Iterator[list[str]]:
    """Blocks of SHA-256 of the files' bytes, in the order of `paths`; "" where these cannot be read."""
    return in_order(lambda block: [_digest(path) for path in block], _blocks(paths), workers)


def _blocks(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (paths[start : start + BLOCK] for start in range(0, len(paths), BLOCK))


def _decode_block(paths: Sequence[Path], size: int) -> tuple[NDArray[np.uint8], list[Record]]:
    pixels, records = np.zeros((len(paths), size, size), dtype=np.uint8), []
    for row, path in enumerate(paths):
        try:
            radiograph = read_radiograph(path, size=size)
        except DataError as error:
            records.append(_unreadable(path, error))
        else:
            pixels[row] = radiograph.pixels
            records.append(_record(radiograph))
    return pixels, records


def _record(radiograph: Radiograph) -> Record:
    patient = radiograph.patient
    return Record(
        sha256=radiograph.sha256,
        pixel_sha256=hashlib.sha256(radiograph.pixels.tobytes()).hexdigest(),
        width=radiograph.width,
        height=radiograph.height,
        bits=radiograph.bits,
        format=radiograph.format,
        file_bytes=radiograph.file_bytes,
        notes=radiograph.notes,
        error="",
        patient=hashlib.sha256(patient.encode()).hexdigest() if patient else "",
        foreign=radiograph.foreign,
    )


def _unreadable(path: Path, error: DataError) -> Record:
    # The same bytes may lie elsewhere when the record is read back, so the place is not part of it.
    reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{path.name}: ")
    try:
        n_bytes = path.stat().st_size
    except OSError:
        n_bytes = 0
    return Record(_digest(path), "", 0, 0, 0, "", n_bytes, (), reason)


def _digest(path: Path) -> str:
    with suppress(OSError):
        if path.is_file():  # a pipe would wait for ever
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return ""
