"""Estimates by stratum: what a model would do if all patients of a class came from one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.card import Card
from lungscope.data.manifest import Manifest
from lungscope.data.strata import Stratum, find_strata
from lungscope.stats.calibration import expected_calibration_error
from lungscope.stats.estimate import Estimate
from lungscope.stats.metrics import Weights, auroc
from lungscope.stats.proportion import proportion
from lungscope.stats.reference_class import p_abnormal
from lungscope.stats.resampling import estimates

RESAMPLES = 500


@dataclass(frozen=True)
class HeldOut:
    """What a model says of patients it has not seen."""

    positive: NDArray[np.bool_]
    """(N,), whether diseased."""
    p_abnormal: NDArray[np.float64]
    """(N,), probability of disease, 0..1."""
    patients: Sequence[str]
    threshold: float
    """From validation."""

    @classmethod
    def of(cls, chosen: Manifest, probabilities: NDArray[np.floating], threshold: float) -> "HeldOut":
        """From what a model with a reference class says of N images, (N, K)."""
        scores = p_abnormal(probabilities.astype(np.float64))
        return cls(chosen.labels > 0, scores, chosen.patients, threshold)

    def select(self, rows: NDArray[np.int64]) -> "HeldOut":
        """Some of the rows."""
        patients = tuple(self.patients[row] for row in rows)
        return HeldOut(self.positive[rows], self.p_abnormal[rows], patients, self.threshold)


@dataclass(frozen=True)
class StratumEstimates:
    """Estimates of one stratum of the data, or of one change of it."""

    name: str
    kind: str
    n: int
    patients: int
    auroc: Estimate
    ece: Estimate
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class Robustness:
    """All strata, and which is the worst by each estimate."""

    strata: tuple[StratumEstimates, ...]

    def worst(self, estimate: str, kinds: Sequence[str] = ()) -> StratumEstimates | None:
        """The stratum with the lowest AUROC, or the highest ECE; None when it is nowhere defined."""
        defined = [
            each
            for each in self.strata
            if getattr(each, estimate).value is not None and (not kinds or each.kind in kinds)
        ]
        sign = -1 if estimate == "ece" else 1
        return min(defined, key=lambda each: sign * float(getattr(each, estimate).value), default=None)


def measure(
    name: str, kind: str, cases: HeldOut, rows: NDArray[np.int64] | None = None, *, diseased: float | None = None
) -> StratumEstimates:
    """Estimates of one stratum.

    Where it has one class only, all held-out cases of the other class stand against it, and it stands
    for its class: its rows count as often as the whole class does, so that the share of diseased is the same
    for every stratum.

    Args:
        name: of the stratum.
        kind: of the stratum.
        cases: everything held out.
        rows: the stratum; everything when not given.
        diseased: their share where it has one class only; that of `cases` when not given.
    """
    inside = np.zeros(len(cases.positive), bool)
    inside[slice(None) if rows is None else rows] = True
    chosen, counts = _beside(cases.positive, inside, cases.positive.mean() if diseased is None else diseased)
    held = cases.select(chosen)
    both = np.stack((1 - held.p_abnormal, held.p_abnormal), axis=1)
    truth = held.positive.astype(np.int64)

    def area(weights: Weights | None) -> Any:
        return auroc(held.positive, held.p_abnormal, weights)

    def error(weights: Weights | None) -> Any:
        if weights is None:
            return float(np.asarray(expected_calibration_error(truth, both, weights=counts[None]))[0])
        return expected_calibration_error(truth, both, weights=np.asarray(weights) * counts)

    found_area, found_error = estimates((area, error), held.patients, resamples=RESAMPLES)
    own = cases.select(np.flatnonzero(inside))
    called = own.p_abnormal >= cases.threshold
    return StratumEstimates(
        name, kind, len(own.positive), len(set(own.patients)), found_area, found_error,
        _share(called, own, own.positive, "no diseased patient in it"),
        _share(~called, own, ~own.positive, "no healthy patient in it"),
    )  # fmt: skip


def _beside(
    positive: NDArray[np.bool_], inside: NDArray[np.bool_], diseased: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows that a stratum is measured on, and how often each counts."""
    own = positive[inside]
    if not own.size or (own.any() and not own.all()):
        return np.flatnonzero(inside), np.ones(int(inside.sum()))
    others = positive != own[0]
    chosen = np.flatnonzero(inside | others)
    odds = diseased / (1 - diseased) if own[0] else (1 - diseased) / diseased
    return chosen, np.where(inside[chosen], odds * others.sum() / inside.sum(), 1.0)


def by_stratum(cases: HeldOut, strata: Sequence[Stratum]) -> Robustness:
    """Estimates of the whole and of every stratum, whose rows are positions in `cases`."""
    found = [measure(each.name, each.kind, cases, each.rows) for each in strata]
    return Robustness((measure("all held-out images", "all", cases), *found))


def measure_strata(card: Card, chosen: Manifest, probabilities: NDArray[np.float32]) -> Robustness | None:
    """Estimates of the strata that file names or columns name; None where they name none, or without a threshold.

    Args:
        card: of the model.
        chosen: N images.
        probabilities: (N, K), of them.
    """
    strata = find_strata(chosen) if card.operating_points else ()
    if not strata or not 0 < (chosen.labels > 0).sum() < len(chosen):
        return None
    return by_stratum(HeldOut.of(chosen, probabilities, card.operating_points[0].threshold), strata)


def _share(right: NDArray[np.bool_], own: HeldOut, which: NDArray[np.bool_], empty: str) -> Estimate:
    patients = [patient for patient, asked in zip(own.patients, which, strict=True) if asked]
    return proportion(right[which], patients, empty=empty)
