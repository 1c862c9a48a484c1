"""Patients as the unit that is drawn: rows of one patient are not independent."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.stats.columns import same_rows

Patients = Sequence[str] | NDArray[Any]


def patient_index(patients: Patients) -> NDArray[np.intp]:
    """Number the patients 0..P-1, row by row.

    Args:
        patients: (N,), any identifiers; a row with an empty one belongs to a patient of its own.

    Returns:
        (N,).
    """
    names = np.asarray(patients)
    _, index = np.unique(names, return_inverse=True)
    if names.dtype.kind == "U":
        unknown = np.flatnonzero(names == "")
        index[unknown] = len(names) + np.arange(len(unknown))
    compact: NDArray[np.intp] = np.unique(index, return_inverse=True)[1]
    return compact


def count_patients(patients: Patients) -> int:
    """How many patients the rows belong to; see `patient_index`."""
    return int(patient_index(patients).max(initial=-1)) + 1


def index_of_rows(patients: Patients | None, rows: NDArray[Any]) -> NDArray[np.intp]:
    """`patient_index` of some rows (N, ...); where no patients are given each row is its own.

    Raises:
        DataError: there are not as many patients as rows.
    """
    index = np.arange(len(rows)) if patients is None else patient_index(patients)
    same_rows(rows, index)
    return index
