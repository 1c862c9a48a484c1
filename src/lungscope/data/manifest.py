"""The table of a data set: path, label, patient and split of every image, from folders or from CSV."""

import csv
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.data.table import COLUMNS, Row, read_csv, read_folder
from lungscope.errors import ConfigError, ManifestError
from lungscope.system.files import write_atomically

# Kermany's pneumonia and normal series, and NIH ChestX-ray8 (patient_followup).
KNOWN_NAMES = (r"^(person\d+)_", r"^((?:NORMAL\d*-)?IM)-(\d+)-", r"^(\d{8})_\d{3}\.")
# Kermany numbers bacterial and viral cases; whether both kinds share one numbering is not published.
NARROW_NAMES = re.compile(r"^((person\d+)_(?:bacteria|virus))_")
OWN_PATIENT = "file:"


@dataclass(frozen=True, eq=False)
class Manifest:
    """Images of a data set with what is known about them; its `repr` gives counts only."""

    paths: tuple[Path, ...]
    """N absolute paths."""
    labels: NDArray[np.int64]
    """(N,), index into `classes`."""
    patients: tuple[str, ...]
    """N identifiers; one that starts with `OWN_PATIENT` says that the patient is not known."""
    splits: tuple[str, ...]
    """N of "train", "validation", "test", or "" where none is assigned."""
    classes: tuple[str, ...]
    """The reference (normal) first when a name says so, then sorted."""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further columns of the CSV, N texts each."""
    notes: tuple[str, ...] = ()
    """What was left out while reading, in plain words; neither compared nor written."""

    def __len__(self) -> int:
        return len(self.paths)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manifest):
            return NotImplemented
        same_labels = np.array_equal(self.labels, other.labels)
        return same_labels and all(
            getattr(self, name) == getattr(other, name) for name in ("paths", "patients", "splits", "classes", "extra")
        )

    def __repr__(self) -> str:
        return f"Manifest({len(self)} images, classes={self.classes}, splits={dict(Counter(self.splits))})"

    @property
    def sites(self) -> tuple[str, ...] | None:
        """N names, from the column `site`; None where there is none. An empty name is a site too."""
        return self.extra.get("site")

    @property
    def has_reference(self) -> bool:
        """Whether the first class is one that all others are told from, such as "normal"."""
        return is_reference(self.classes[0])

    @property
    def held_out(self) -> str:
        """The split that figures are taken on: test, or validation where there is none."""
        return "test" if "test" in self.splits else "validation"

    def select(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> "Manifest":
        """The rows where `mask` (N,) is true, or those at given indices, in their order; classes stay."""
        rows = np.arange(len(self))[mask]
        return replace(
            self,
            paths=tuple(self.paths[row] for row in rows),
            labels=self.labels[rows],
            patients=tuple(self.patients[row] for row in rows),
            splits=tuple(self.splits[row] for row in rows),
            extra={name: tuple(column[row] for row in rows) for name, column in self.extra.items()},
        )

    def split(self, name: str) -> "Manifest":
        """The rows of one split."""
        return self.select(np.array([split == name for split in self.splits], dtype=bool))

    def fingerprint(self) -> str:
        """SHA-256 over names, labels, patients and splits, whatever the order of rows or the parent folder."""
        root = os.path.commonpath([path.parent for path in self.paths]) if self.paths else ""
        names = [os.path.relpath(path, root) for path in self.paths]
        labels = [self.classes[label] for label in self.labels]
        rows = sorted(zip(names, labels, self.patients, self.splits, strict=True))
        return hashlib.sha256(repr((self.classes, rows)).encode()).hexdigest()


def read_manifest(
    source: Path, *, patient_pattern: str = "", label_pattern: str = "", classes: Sequence[str] = ()
) -> Manifest:
    """Read the table of a data set.

    The patient of an image is the CSV's, else what the pattern finds in the file's name, else the image is
    taken for the only one of its patient.

    Args:
        source: a folder of class folders, one with train, validation or test folders above them (any
            usual spelling), or a CSV in UTF-8 with the columns path, label and, if wanted, patient, split and more;
            its paths are relative to its own folder.
        patient_pattern: regular expression over the file name whose groups together are the patient.
            Empty: the names of the Kermany and NIH sets are known.
        label_pattern: regular expression over the file name whose first group is the label, for finer classes
            than the folders have; a file it does not match keeps its label.
        classes: the classes in their order, where a model asks for them; upper and lower case are the
            same here. Empty: all labels found, of which there must be two at least.

    Raises:
        ManifestError: the source is missing, empty, or not arranged or filled in as it should be.
        ConfigError: a pattern is not a regular expression.
    """
    source = Path(os.path.abspath(source))
    if not source.exists():
        raise ManifestError(f"{source}: there is no such folder or file. Check the path.")
    try:
        table = read_folder(source) if source.is_dir() else read_csv(source)
    except OSError as error:
        raise ManifestError(f"{error.filename}: cannot be read ({error.strerror}). Check the rights.") from None
    rows = _relabelled(source, table.rows, label_pattern, needed=not classes) if label_pattern else table.rows
    known = tuple(classes) or _classes(source, rows)
    return Manifest(
        paths=tuple(row.path for row in rows),
        labels=_labels(source, rows, known, fold=bool(classes)),
        patients=_patients(source, rows, patient_pattern),
        splits=tuple(row.split for row in rows),
        classes=known,
        extra={name: tuple(row.extra[i] for row in rows) for i, name in enumerate(table.extra)},
        notes=table.notes,
    )


def write_csv(manifest: Manifest, path: Path) -> None:
    """Write the table so that `read_manifest` gives an equal one back.

    Images below the CSV's folder are named relative to it, so that both may be moved together.

    Raises:
        OutputError: the place cannot be written.
        ManifestError: a file name is not valid text.
    """
    folder = Path(os.path.abspath(path)).parent
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *manifest.extra])
    names = [_relative(image, folder) for image in manifest.paths]
    labels = [manifest.classes[label] for label in manifest.labels]
    writer.writerows(zip(names, labels, manifest.patients, manifest.splits, *manifest.extra.values(), strict=True))
    try:
        write_atomically(path, text.getvalue())
    except UnicodeEncodeError:
        raise ManifestError(f"{path}: a file name is not valid text. Rename the images to plain letters.") from None


def narrow_patients(manifest: Manifest) -> tuple[str, ...]:
    """Patients under the narrowest reading of the file names: N identifiers, at least as many different ones.

    `person1_bacteria_2` and `person1_virus_6` are one patient in `Manifest.patients`, so that a split of
    ours cannot tear a patient apart, and two here, so that a published split is not accused by a number.
    """
    found = [NARROW_NAMES.match(path.name) for path in manifest.paths]
    return tuple(
        match[1] if match and match[2] == patient else patient
        for match, patient in zip(found, manifest.patients, strict=True)
    )


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _relabelled(source: Path, rows: list[Row], text: str, *, needed: bool) -> list[Row]:
    """Rows with the label that their name tells; `needed` where it must tell at least one."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(f"data.label_pattern {text!r} is not a regular expression: {error}. Change it.") from None
    if not pattern.groups:
        raise ConfigError(
            f"data.label_pattern {text!r} has no group. Put the label into brackets, as in '_(bacteria|virus)_'."
        )
    found = [pattern.search(row.path.name) for row in rows]
    if needed and not any(found):
        raise ManifestError(
            f"{source}: data.label_pattern {text!r} matches no file name, such as {rows[0].path.name!r}. Change it."
        )
    return [replace(row, label=match[1] or row.label) if match else row for row, match in zip(rows, found, strict=True)]


def _classes(source: Path, rows: list[Row]) -> tuple[str, ...]:
    names = order_classes(row.label for row in rows)
    if len(names) < 2:
        raise ManifestError(
            f"{source}: only one class, {names[0]!r}. "
            "Pass the folder above the class folders, or add images of another class."
        )
    return names


def order_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Names of classes without repetition: the reference first when a name says so, then sorted."""
    return tuple(sorted(set(labels), key=lambda name: (not is_reference(name), name)))


def is_reference(name: str) -> bool:
    """Whether a class is by its name the one that others are told from, such as "normal" or "no finding"."""
    words = re.split(r"[\W_]+", name.lower())
    negated = bool({"not", "non"} & set(words))
    says_so = bool({"normal", "negative", "healthy"} & set(words)) or re.search(r"no[\W_]*findings?$", name.lower())
    return bool(says_so) and not negated


def _labels(source: Path, rows: list[Row], classes: tuple[str, ...], *, fold: bool) -> NDArray[np.int64]:
    index = {name.casefold() if fold else name: i for i, name in enumerate(classes)}
    keys = [row.label.casefold() if fold else row.label for row in rows]
    if unknown := Counter(row.label for row, key in zip(rows, keys, strict=True) if key not in index):
        name, n = unknown.most_common(1)[0]
        raise ManifestError(
            f"{source}: {n} images are labelled {name!r}, which is none of {', '.join(classes)}. Rename that label."
        )
    return np.array([index[key] for key in keys], dtype=np.int64)


def _patients(source: Path, rows: list[Row], pattern: str) -> tuple[str, ...]:
    try:
        patterns = [re.compile(text) for text in ([pattern] if pattern else KNOWN_NAMES)]
    except re.error as error:
        raise ConfigError(
            f"data.patient_pattern {pattern!r} is not a regular expression: {error}. Change it."
        ) from None
    patients = [row.patient or _patient_in(row.path.name, patterns) for row in rows]
    if pattern and not all(patients):
        other = rows[patients.index("")].name
        raise ManifestError(
            f"{source}: data.patient_pattern does not match {patients.count('')} of {len(rows)} file names, such as "
            f"{other!r}. Widen it, or give the patients in a CSV."
        )
    return tuple(patient or OWN_PATIENT + row.name for patient, row in zip(patients, rows, strict=True))


def _patient_in(name: str, patterns: Sequence[re.Pattern[str]]) -> str:
    for pattern in patterns:
        if match := pattern.search(name):
            return "-".join(group for group in match.groups() if group) if match.groups() else match[0]
    return ""
