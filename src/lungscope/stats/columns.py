"""Columns of labels, scores and class indices, checked before anything is computed of them. NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import DataError, UndefinedEstimate

Array = NDArray[np.float64]


def as_binary(values: ArrayLike) -> NDArray[np.bool_]:
    """Labels or calls as booleans.

    Raises:
        UndefinedEstimate: a label is missing (NaN).
        DataError: a label is neither 0 nor 1.
    """
    labels = np.asarray(values)
    if labels.dtype.kind == "f":
        labels = numbers(labels, "labels")
    if labels.dtype != bool and not np.isin(labels, (0, 1)).all():
        raise DataError("A two-class metric needs labels 0 or 1 and got others. Pass labels == the class in question.")
    return labels.astype(np.bool_)


def class_indices(values: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Class indices, checked.

    Raises:
        DataError: a value is not a whole number from 0 to `n_classes` - 1.
    """
    labels = np.asarray(values)
    if labels.size and (labels.dtype.kind not in "biu" or labels.min() < 0 or labels.max() >= n_classes):
        raise DataError(
            f"Class indices must be whole numbers from 0 to {n_classes - 1}. Check the order of the classes."
        )
    return labels.astype(np.int64)


def numbers(values: ArrayLike, what: str) -> Array:
    """Values as floats; one that is missing (NaN) makes what is computed from them an `UndefinedEstimate`."""
    floats = np.asarray(values, np.float64)
    missing = int(np.isnan(floats).sum())
    if missing:
        raise UndefinedEstimate(f"{missing} of {floats.size} {what} are not numbers")
    return floats


def same_rows(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Check that two columns describe the same rows, as far as lengths tell; else `DataError`."""
    if len(first) != len(second):
        raise DataError(f"Columns of {len(first)} and {len(second)} rows do not fit. Pass both for the same rows.")
