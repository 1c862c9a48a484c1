"""A data set ready for use: its table, its splits, its pixels and what the audit found."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lungscope.config.settings import DataSettings
from lungscope.data.audit.checks import AuditReport, audit
from lungscope.data.decode import Record
from lungscope.data.images.radiograph import Radiograph
from lungscope.data.manifest import Manifest, read_manifest
from lungscope.data.pack import Pack, pack
from lungscope.data.split import assign_splits, link_patients
from lungscope.errors import DataError, LeakageError


@dataclass(frozen=True)
class DataSource:
    """Where a data set lies, and how its file names tell patient and label."""

    path: Path
    """Class folders, folders of splits, or a CSV."""
    patient_pattern: str = ""
    """Regular expression over a file's name whose groups together are the patient; see `read_manifest`."""
    label_pattern: str = ""
    """The same, whose first group is the label."""
    classes: tuple[str, ...] = ()
    """Those of a model, in its order; empty for whatever is found."""

    def read(self) -> Manifest:
        """The table of the data set; raises as `read_manifest` does."""
        return read_manifest(
            self.path, patient_pattern=self.patient_pattern, label_pattern=self.label_pattern, classes=self.classes
        )


class Labels(Protocol):
    """What a model knows of the data it was trained on; its card is one."""

    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def label_pattern(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Dataset:
    """A manifest whose images are all readable, their pixels, and what the audit found."""

    source: DataSource
    manifest: Manifest
    pixels: NDArray[np.uint8]
    """(N, S, S)."""
    audit: AuditReport
    """Of all files, the unreadable ones included."""
    records: tuple[Record, ...]
    """(N,), what is known of each file."""
    notes: tuple[str, ...] = ()
    """What was decided while reading and splitting, in plain words."""

    def rows(self, split: str) -> NDArray[np.int64]:
        """Indices of one split, or of everything for "all"."""
        splits = np.array(self.manifest.splits)
        return np.flatnonzero((splits == split) | (split == "all"))

    def radiographs(self, rows: NDArray[np.int64]) -> list[Radiograph]:
        """The images at these indices, as they were read."""
        return [self.records[row].radiograph(self.pixels[row]) for row in rows]


def prepare(source: Path, settings: DataSettings, size: int, seed: int, *, allow_leakage: bool = False) -> Dataset:
    """Read, decode, split and audit a data set for training.

    Args:
        source: class folders, folders of splits, or a CSV.
        settings: how to split, and how names tell the patient.
        size: S, side of the decoded images.
        seed: of the split.
        allow_leakage: go on even when a patient or a picture stands in two splits.

    Raises:
        ManifestError: the data are not a data set.
        LeakageError: there is leakage and it is not allowed.
    """
    given = DataSource(source, settings.patient_pattern, settings.label_pattern)
    manifest = given.read()
    packed = pack(manifest.paths, size)
    manifest, notes = assign_splits(link_patients(manifest, packed), settings, seed)
    data = _assemble(given, manifest, packed, notes)
    if not allow_leakage:
        refuse_leakage(data)
    return data


def refuse_leakage(data: Dataset) -> None:
    """Raise `LeakageError` where a patient or a picture stands in two splits."""
    if data.audit.leaks:
        raise LeakageError(
            f"{data.source.path}: {data.audit.leaks[0].message} Let Lungscope split by patient "
            "(--set data.split=patients), or pass --allow-leakage to go on all the same."
        )


def load(source: DataSource, size: int) -> Dataset:
    """Read, decode and audit a data set as it is split, for a look or for evaluation.

    Args:
        source: where it lies, and how names are read.
        size: S, side of the decoded images.

    Raises:
        ManifestError: the data are not a data set, or have a class the model does not know.
    """
    manifest = source.read()
    packed = pack(manifest.paths, size)
    return _assemble(source, link_patients(manifest, packed), packed, ())


def load_for(model: Labels, source: DataSource) -> Dataset:
    """The same for a model: of its size and classes, with labels read from names as it was trained.

    Raises:
        ManifestError: the data are not a data set, or have a class the model does not know.
    """
    pattern = source.label_pattern or model.label_pattern
    return load(replace(source, classes=model.classes, label_pattern=pattern), model.size)


def _assemble(source: DataSource, manifest: Manifest, packed: Pack, notes: tuple[str, ...]) -> Dataset:
    report, readable = audit(manifest, packed), packed.readable
    if not readable.any():
        raise DataError(f"{source.path}: none of {len(manifest)} images can be read; {packed.records[0].error}")
    pixels = packed.pixels if readable.all() else packed.pixels[readable]
    records = tuple(record for record in packed.records if not record.error)
    return Dataset(source, manifest.select(readable), pixels, report, records, (*manifest.notes, *notes))
