"""A column of text as groups: categories as they are, numbers in bands."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_CATEGORIES = 12
MOST_NUMBERS = 6
"""Distinct numbers up to which each is a group of its own, such as a 0/1 code."""
AGES = (1, 6, 18, 40, 65)
"""Years at which a band of age begins: infants, young children, school age, adults, middle age, old age."""
AGE_NAMES = ("under 1 year", "1 to 5 years", "6 to 17 years", "18 to 39 years", "40 to 64 years", "65 years and over")
UNKNOWN = "unknown"
_IDENTIFIER = re.compile(r"(^|[\W_])(id|ids|mrn|uid|uuid|name|accession|birth|dob)([\W_]|$)|(id|ID|Id|UID)$")
LONG_NUMBER = 1e5
"""Whole numbers from here on, hardly any twice, are taken for identifiers."""


@dataclass(frozen=True)
class Bands:
    """Each row's group."""

    names: tuple[str, ...]
    index: NDArray[np.int64]
    """(N,), into `names`; every name has a row."""
    note: str
    """How the groups came about, as a sentence."""


def into_bands(column: str, values: Sequence[str]) -> Bands | str:
    """Group the values of a column, or say in a sentence why it cannot be.

    Args:
        column: its name; one that begins with "age" is cut at the usual ages, in years.
        values: (N,), empty where unknown.
    """
    text = np.array([value.strip() for value in values], np.str_)
    known = text != ""
    distinct = np.unique(text[known])
    if distinct.size < 2:
        return f"Column {column} has {'one value only' if distinct.size else 'no value'}: nothing to compare."
    numbers = _numbers(text, known)
    if _IDENTIFIER.search(column.strip()) or _identifies(numbers, distinct.size, int(known.sum())):
        return f"Column {column} looks like an identifier and is left out."
    if numbers is not None and distinct.size > MOST_NUMBERS:
        return _cut(column, numbers, known)
    if distinct.size > MOST_CATEGORIES:
        return (
            f"Column {column} has {distinct.size} different values, more than {MOST_CATEGORIES}: too many groups. "
            "Put like ones together in the table."
        )
    order = (distinct if numbers is None else distinct[np.argsort(distinct.astype(np.float64))]).tolist()
    index = np.array([order.index(value) if value else 0 for value in text.tolist()], np.int64)
    return _bands(order, index, known, "One group per value.")


def _numbers(text: NDArray[np.str_], known: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    found = np.full(text.size, np.nan)
    try:
        found[known] = text[known].astype(np.float64)
    except ValueError:
        return None
    return found if np.isfinite(found[known]).all() else None


def _identifies(numbers: NDArray[np.float64] | None, distinct: int, n: int) -> bool:
    if numbers is None or distinct < 0.8 * n or distinct <= MOST_NUMBERS:
        return False
    held = numbers[np.isfinite(numbers)]
    return bool((held == held.round()).all() and np.median(held) >= LONG_NUMBER)


def _cut(column: str, numbers: NDArray[np.float64], known: NDArray[np.bool_]) -> Bands:
    if column.strip().lower().startswith("age"):
        index = np.searchsorted(AGES, numbers, side="right").astype(np.int64)
        return _bands(list(AGE_NAMES), index, known, "Ages in years, in bands.")
    edges = np.unique(np.quantile(numbers[known], (0.25, 0.5, 0.75)))
    index = np.searchsorted(edges, numbers, side="right").astype(np.int64)
    ends = [f"{edge:g}" for edge in edges]
    between = [f"{low} to under {high}" for low, high in itertools.pairwise(ends)]
    names = [f"under {ends[0]}", *between, f"{ends[-1]} and over"]
    return _bands(names, index, known, "Numbers, cut at their quartiles.")


def _bands(names: list[str], index: NDArray[np.int64], known: NDArray[np.bool_], note: str) -> Bands:
    index = np.where(known, index, len(names))
    held, compact = np.unique(index, return_inverse=True)
    every = [*names, UNKNOWN]
    return Bands(tuple(every[i] for i in held), compact.astype(np.int64), note)
