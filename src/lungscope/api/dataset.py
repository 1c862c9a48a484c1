"""A data set in Python: its rows, splits and audit, and its images for PyTorch."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lungscope.api.notebook import html_table
from lungscope.api.result_table import data_frame
from lungscope.config.settings import DataSettings
from lungscope.data.audit.checks import AuditReport
from lungscope.data.dataset import Dataset as Prepared
from lungscope.data.dataset import DataSource, prepare
from lungscope.data.manifest import write_csv
from lungscope.data.split import SPLITS
from lungscope.errors import ConfigError
from lungscope.system.progress import show_progress

if TYPE_CHECKING:
    import pandas

    from lungscope.training.torch_dataset import TorchDataset


@dataclass(frozen=True)
class Row:
    """One image of a data set; its `repr` names no patient."""

    path: Path
    label: str
    patient: str = field(repr=False)
    split: str


class Dataset:
    """Images that can all be read, with labels, patients, splits and audit."""

    def __init__(self, prepared: Prepared) -> None:
        """As `load_dataset` makes it."""
        self.prepared = prepared

    def __len__(self) -> int:
        return len(self.prepared.manifest)

    @property
    def source(self) -> DataSource:
        """Where it lies, and how file names tell patient and label."""
        return self.prepared.source

    @property
    def classes(self) -> tuple[str, ...]:
        """K names, the reference class first where a name says so."""
        return self.prepared.manifest.classes

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,), index into `classes`."""
        return self.prepared.manifest.labels

    @property
    def patients(self) -> tuple[str, ...]:
        """N identifiers; one that begins with "file:" stands for a patient who is not known."""
        return self.prepared.manifest.patients

    @property
    def splits(self) -> tuple[str, ...]:
        """N of "train", "validation" and "test"."""
        return self.prepared.manifest.splits

    @property
    def rows(self) -> tuple[Row, ...]:
        """N rows."""
        table = self.prepared.manifest
        labels = [table.classes[label] for label in table.labels]
        return tuple(map(Row, table.paths, labels, table.patients, table.splits))

    @property
    def audit(self) -> AuditReport:
        """Copies, leakage, unreadable files and more, of all files; the gravest finding first."""
        return self.prepared.audit

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided while reading and splitting, in plain words."""
        return self.prepared.notes

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows and the further columns of a CSV as a data frame.

        Raises:
            RuntimeUnavailable: pandas is not installed.
        """
        extra = self.prepared.manifest.extra
        further = [dict(zip(extra, values, strict=True)) for values in zip(*extra.values(), strict=True)]
        return data_frame([vars(row) | more for row, more in zip(self.rows, further or [{}] * len(self), strict=True)])

    def torch(self, split: str = "all") -> "TorchDataset":
        """A `torch.utils.data.Dataset` of one split: uint8 images (1, S, S) as the models see them, and class indices.

        Raises:
            ConfigError: no such split.
        """
        if split not in (*SPLITS, "all"):
            raise ConfigError(f"split={split!r} is unknown. Choose train, validation, test or all.")
        from lungscope.training.labelled_images import LabelledImages
        from lungscope.training.torch_dataset import TorchDataset

        return TorchDataset(LabelledImages.of(self.prepared, self.prepared.rows(split)))

    def __repr__(self) -> str:
        counts = {split: self.splits.count(split) for split in SPLITS}
        return f"Dataset({len(self)} images; {', '.join(self.classes)}; {counts})"

    def _repr_html_(self) -> str:
        counts = Counter((row.label, row.split) for row in self.rows)
        rows = [[name, *(str(counts[name, split]) for split in SPLITS)] for name in self.classes]
        findings = html_table((finding.severity, finding.message) for finding in self.audit.findings)
        return html_table(rows, ("images", *SPLITS)) + findings


def load_dataset(
    source: str | os.PathLike[str],
    *,
    patient_pattern: str = "",
    label_pattern: str = "",
    split: str = "auto",
    seed: int = 0,
    size: int = 224,
    progress: bool = False,
) -> Dataset:
    """Read, decode, audit and split a data set.

    Args:
        source: class folders, train/ val/ test/ above them, or a CSV with path,label and, if wanted, patient, split.
        patient_pattern: regular expression whose groups are the patient in a file name.
        label_pattern: the same, whose first group is the label.
        split: "auto", "patients", "predefined" or "random"; "auto" deals by patient where nothing is predefined.
        seed: of the split.
        size: S, side in pixels of the images in `torch`; training uses that of its recipe.
        progress: show how far it is, on a terminal or in a notebook.

    Raises:
        ManifestError: the data are not a data set.
        ConfigError: a pattern or another argument makes no sense.
    """
    kinds = DataSettings.model_fields["split"].annotation.__args__  # type: ignore[union-attr]
    if split not in kinds:
        raise ConfigError(f"split={split!r} is unknown. Choose {', '.join(kinds)}.")
    settings = DataSettings.model_validate(
        {"patient_pattern": patient_pattern, "label_pattern": label_pattern, "split": split}
    )
    with show_progress(progress):
        return Dataset(prepare(Path(source), settings, size, seed, allow_leakage=True))


@contextmanager
def table_of(data: Dataset) -> Iterator[DataSource]:
    """The rows and splits as a CSV, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.csv"
        write_csv(data.prepared.manifest, path)
        yield DataSource(path, data.source.patient_pattern, data.source.label_pattern)
