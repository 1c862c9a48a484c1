"""Drift: what the days of a service look like beside the validation images of its model."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.validation_summary import Reference
from lungscope.serve.store.daily_counts import DAY_US, Day
from lungscope.serve.store.records import from_us


@dataclass(frozen=True)
class DaySummary:
    """One UTC day of one model; None where there is nothing to tell it from."""

    day: str
    """ISO 8601."""
    images: int
    assessed: int
    not_assessed: int
    not_assessed_share: float
    positive_share: float | None
    mean_p_abnormal: float | None
    shares: tuple[float, ...] | None
    """Of p_abnormal in equal bins from 0 to 1."""
    score_shift: float | None
    """Population stability index against validation; 0 is none, above 0.25 is usually called a shift."""
    embedding_shift: float | None
    """Root mean square, over the sketch, of the shift of the mean in deviations of validation; 0 is none."""
    embedding_shift_by_chance: float | None
    """What so many images of the same kind would show."""
    agreements: int
    disagreements: int


@dataclass(frozen=True)
class DriftReference:
    """The validation images of a model, as drift is measured from them."""

    n: int
    bin_edges: tuple[float, ...]
    shares: tuple[float, ...]
    """Of p_abnormal by bin."""
    mean_p_abnormal: float | None


@dataclass(frozen=True)
class Drift:
    """Days beside validation, newest first; no reference where the model keeps none."""

    reference: DriftReference | None
    days: tuple[DaySummary, ...]


def summarise_day(day: Day, reference: Reference | None, *, binary: bool) -> DaySummary:
    """Compare a day with validation.

    Args:
        day: its sums.
        reference: what the bundle keeps of validation, when it does.
        binary: whether a class of the model is a reference, so that it calls images positive at all.
    """
    n = day.assessed
    compared = reference if n else None
    return DaySummary(
        day=f"{from_us(day.day * DAY_US):%Y-%m-%d}",
        images=day.images,
        assessed=n,
        not_assessed=day.images - n,
        not_assessed_share=1 - n / day.images,
        positive_share=day.positive / n if n and binary else None,
        mean_p_abnormal=day.p_abnormal_sum / n if n and binary else None,
        shares=tuple(float(share) for share in day.bins / n) if n else None,
        score_shift=stability_index(day.bins, compared) if compared else None,
        embedding_shift=_embedding_shift(day.sketch_sum / n, compared) if compared else None,
        embedding_shift_by_chance=math.sqrt(1 / n + 1 / compared.n) if compared else None,
        agreements=day.agreements,
        disagreements=day.disagreements,
    )


def stability_index(bins: NDArray[np.int64], reference: Reference) -> float:
    """Population stability index, Σ (p - q) ln(p / q), of counts (BINS,) against validation.

    Half an image is added to every bin on both sides, so that an empty one does not make it infinite.
    """
    seen = (bins + 0.5) / (bins.sum() + 0.5 * len(bins))
    counts = np.array(reference.shares) * reference.n
    expected = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return float(((seen - expected) * np.log(seen / expected)).sum())


def _embedding_shift(mean: NDArray[np.float64], reference: Reference) -> float:
    deviation = np.maximum(reference.sketch_deviation, 1e-9)
    return float(np.sqrt((((mean - reference.sketch_mean) / deviation) ** 2).mean()))
