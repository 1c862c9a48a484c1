"""What a bundle keeps of its validation images: how thresholds trade, and what use is compared with later."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.errors import ConfigError
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import Goal, OperatingPoint, best_entry, extreme_note
from lungscope.stats.patients import Patients, index_of_rows
from lungscope.stats.proportion import wilson

CURVE_POINTS = 200
BINS = 10
SKETCH = 16
"""Numbers an embedding is reduced to."""


@dataclass(frozen=True)
class Curve:
    """Sensitivity and specificity on validation when positive means p_abnormal >= threshold."""

    thresholds: tuple[float, ...]
    """Ascending; the first calls every image positive and the last none."""
    sensitivity: tuple[float, ...]
    specificity: tuple[float, ...]
    positives: int
    negatives: int
    positive_patients: int = 0
    negative_patients: int = 0
    """0 in bundles of versions that did not count them."""

    def choose(self, goal: Goal) -> OperatingPoint:
        """The threshold of this curve that serves a goal, as `stats.operating_points.choose` takes it from all images.

        The curve keeps some 200 of the validation images' probabilities, so the threshold may lie a little
        further than all images would have it, on the safe side of the goal. Intervals count each patient once.

        Raises:
            ConfigError: the goal needs a class that validation does not have.
        """
        if goal.kind != "fixed" and not (self.positives and self.negatives):
            raise ConfigError(f"{goal}: validation lacks a class, so no threshold can be chosen. Give a number.")
        at = self._at(goal)
        return OperatingPoint(
            name=goal.text,
            goal=goal.text,
            threshold=goal.value if goal.kind == "fixed" else self.thresholds[at],
            sensitivity=_share(self.sensitivity[at], self.positive_patients or self.positives),
            specificity=_share(self.specificity[at], self.negative_patients or self.negatives),
            note=extreme_note(at, len(self.thresholds) - 1),
        )

    def _at(self, goal: Goal) -> int:
        if goal.kind == "fixed":
            # At a threshold between two of the curve, the calls are those of the next one up.
            at = int(np.searchsorted(np.array(self.thresholds, np.float32), np.float32(goal.value)))
            return min(at, len(self.thresholds) - 1)
        # The shares are rounded; the counts behind them are not.
        found = np.rint(np.array(self.sensitivity) * self.positives)
        return best_entry(goal, found, self.negatives - np.rint(np.array(self.specificity) * self.negatives))


@dataclass(frozen=True)
class Reference:
    """How scores (see `Card.ranking_score`) and embeddings are distributed on validation."""

    n: int
    mean_score: float
    shares: tuple[float, ...]
    """Of the scores in `BINS` equal bins from 0 to 1."""
    sketch_mean: tuple[float, ...]
    """(SKETCH,), of the sketches of the embeddings."""
    sketch_deviation: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """How the model did on validation, which other data are compared with."""

    shares: tuple[float, ...]
    """(K,), of the classes: the prevalence that the probabilities are calibrated for."""
    patients: int
    auroc: Estimate
    """Of p_abnormal; without a reference class the mean over the classes."""
    slope: Estimate
    in_the_large: Estimate
    """Calibration, on the data it was fitted on, hence favourable."""


@dataclass(frozen=True)
class Validation:
    """What is kept; no curve when no class is a reference."""

    curve: Curve | None
    reference: Reference
    outcome: Outcome | None = None
    """Missing in bundles of versions that did not keep it."""

    @property
    def prior(self) -> tuple[float, ...] | None:
        """(K,), share of each class on validation; None where it was not kept."""
        if self.outcome:
            return self.outcome.shares
        if self.curve is None or not (self.curve.positives and self.curve.negatives):
            return None
        share = self.curve.positives / (self.curve.positives + self.curve.negatives)
        return (1 - share, share)


def summarise(
    scores: NDArray[np.floating],
    embeddings: NDArray[np.float32],
    positive: NDArray[np.bool_] | None,
    patients: Patients | None = None,
    outcome: Outcome | None = None,
) -> Validation:
    """Reduce validation images to what is kept of them.

    Args:
        scores: (N,), p_abnormal, or the likeliest class' probability where no class is a reference.
        embeddings: (N, D).
        positive: (N,), true where diseased; None when no class is a reference.
        patients: (N,), whose each row is; without it every image is its own.
        outcome: how the model did on them.
    """
    sketches = sketch(embeddings)
    reference = Reference(
        n=len(scores),
        mean_score=float(scores.mean()),
        shares=histogram(scores),
        sketch_mean=_rounded(sketches.mean(0)),
        sketch_deviation=_rounded(sketches.std(0)),
    )
    if positive is None:
        return Validation(None, reference, outcome)
    return Validation(
        _curve(scores.astype(np.float32), positive, index_of_rows(patients, positive)), reference, outcome
    )


def histogram(scores: NDArray[np.floating]) -> tuple[float, ...]:
    """Share of images in each of `BINS` equal bins from 0 to 1."""
    counts, _ = np.histogram(scores, bins=BINS, range=(0, 1))
    return _rounded(counts / max(len(scores), 1))


def sketch(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce embeddings (N, D) to (N, SKETCH) by a fixed random projection, which keeps distances on average."""
    reduced: NDArray[np.float32] = embeddings @ _projection(embeddings.shape[1])
    return reduced


@cache
def _projection(dimensions: int) -> NDArray[np.float32]:
    # NumPy promises that the stream of RandomState never changes; bundles rely on it.
    directions = np.random.RandomState(0).standard_normal((dimensions, SKETCH))
    projection: NDArray[np.float32] = (directions / np.sqrt(SKETCH)).astype(np.float32)
    projection.flags.writeable = False
    return projection


def _curve(p_abnormal: NDArray[np.float32], positive: NDArray[np.bool_], index: NDArray[np.intp]) -> Curve:
    distinct = np.unique(p_abnormal)
    kept = distinct[np.linspace(0, len(distinct) - 1, min(len(distinct), CURVE_POINTS)).round().astype(int)]
    above = float(np.nextafter(np.float32(1), np.float32(2)))
    thresholds = np.array([0, *kept, above], np.float32)
    found, alarms = np.sort(p_abnormal[positive]), np.sort(p_abnormal[~positive])
    return Curve(
        thresholds=tuple(float(value) for value in thresholds),
        sensitivity=_rounded(1 - np.searchsorted(found, thresholds) / max(len(found), 1)),
        specificity=_rounded(np.searchsorted(alarms, thresholds) / max(len(alarms), 1)),
        positives=len(found),
        negatives=len(alarms),
        positive_patients=int(np.unique(index[positive]).size),
        negative_patients=int(np.unique(index[~positive]).size),
    )


def _share(share: float, n: int) -> Estimate:
    if not n:
        return Estimate(None, reason="no such case on validation")
    low, high = wilson(share, n)
    return Estimate(share, float(low), float(high))


def _rounded(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
