"""Proportions such as sensitivity, with intervals that hold at 0 and 1 and for several images per patient."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.stats.columns import as_binary
from lungscope.stats.estimate import Array, Estimate
from lungscope.stats.patients import Patients, index_of_rows

Z95 = 1.959963984540054
FEW_PATIENTS = 10


def wilson(share: ArrayLike, n: ArrayLike) -> tuple[Array, Array]:
    """95 % score interval of a proportion (Wilson 1927).

    Args:
        share: (...), 0..1.
        n: (...), cases behind it, above 0; may be fractional.

    Returns:
        Lower and upper ends, (...), within 0..1.
    """
    p, size = np.asarray(share, np.float64), np.asarray(n, np.float64)
    centre = p + Z95**2 / (2 * size)
    half = Z95 * np.sqrt(p * (1 - p) / size + (Z95 / (2 * size)) ** 2)
    scale = 1 + Z95**2 / size
    # At 0 and 1 the end is exact; rounding must not push it off.
    low = np.where(p == 0, 0.0, (centre - half) / scale)
    return low, np.where(p == 1, 1.0, (centre + half) / scale)


def proportion(successes: ArrayLike, patients: Patients | None = None, *, empty: str = "no such case") -> Estimate:
    """Share of successes with its 95 % Wilson interval, widened for several images per patient.

    The interval counts n / design effect cases, where the design effect comes from how much patients
    differ (Rao & Scott 1992) and is never below 1. With fewer than ten patients, or when all rows agree,
    that cannot be estimated and each patient counts as one case.

    Args:
        successes: (N,), 0 or 1.
        patients: (N,), whose each row is; without it all rows are independent.
        empty: the reason to give when N is 0.
    """
    outcome = as_binary(successes)
    if not outcome.size:
        return Estimate(None, reason=empty)
    share = float(outcome.mean())
    low, high = wilson(share, _effective_cases(outcome, index_of_rows(patients, outcome)))
    return Estimate(share, float(low), float(high))


def _effective_cases(outcome: NDArray[np.bool_], index: NDArray[np.intp]) -> float:
    n, share = outcome.size, float(outcome.mean())
    rows = np.bincount(index)
    n_patients = rows.size
    if n_patients == n or n_patients < FEW_PATIENTS or share in (0.0, 1.0):
        return float(n_patients)
    excess = np.bincount(index, weights=outcome) - share * rows
    variance = n_patients / (n_patients - 1) * float((excess**2).sum()) / n**2
    return n / max(variance * n / (share * (1 - share)), 1.0)
