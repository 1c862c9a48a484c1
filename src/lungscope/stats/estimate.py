"""Estimates: a value, its interval, and what is said where one of them is missing. A prediction imports this module."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Ratio = float | Array
"""One value, or one per resample; NaN where it is undefined."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, or the reason why one of them is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    """Why there is no value, or no interval, in plain words; empty when both are there."""

    def as_json(self) -> dict[str, Any]:
        """The one form of an estimate in every JSON file: `value`, `ci95` and, where one is missing, the `reason`."""
        given = self.low is not None and self.high is not None
        return {
            "value": rounded(self.value),
            "ci95": [rounded(self.low), rounded(self.high)] if given else None,
            **({"reason": self.reason} if self.reason else {}),
        }

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined ({self.reason})"
        interval = "" if self.low is None else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{interval}"


def rounded(value: float | None) -> float | None:
    """Six decimals, as JSON files hold; never a negative zero."""
    return None if value is None else round(float(value), 6) + 0.0


def ratio(part: ArrayLike, whole: ArrayLike) -> Ratio:
    """`part / whole`, NaN where the whole is empty."""
    over, under = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    empty = np.full(np.broadcast_shapes(over.shape, under.shape), np.nan)
    result: Ratio = np.divide(over, under, out=empty, where=under > 0)[()]
    return result
