"""Whether heat lies on the disease, where somebody marked it: the pointing game and the energy inside."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungscope.data.lesions import Lesions, mask
from lungscope.evaluation.heatmaps.cases import GRID, HeatCases, mean_estimate, shares
from lungscope.stats.estimate import Array, Estimate
from lungscope.stats.proportion import proportion

ONE_PATIENT = "the marked images are of one patient"


@dataclass(frozen=True)
class Located:
    """How well one kind of map points at the marks."""

    hits: Estimate
    """Share of images whose hottest point is inside a mark (Zhang et al. 2018, without tolerance)."""
    energy: Estimate
    """Mean share of a map's heat that lies inside the marks (Wang et al. 2020)."""


@dataclass(frozen=True)
class Pointing:
    """Maps of the labelled disease against the marks of that image."""

    images: int
    patients: int
    source: str
    """What tells the marks."""
    own: Located
    other: Located
    """The same marks against the map of another patient: what knowing the chest in general is worth."""
    area: Estimate
    """Mean share of the picture that is marked: both estimates of a map that knows nothing."""
    empty: int
    """Maps without any heat; they miss, and their energy is 0."""


def point(cases: HeatCases, labels: NDArray[np.int64], lesions: Lesions) -> Pointing:
    """Measure images that are marked.

    Args:
        cases: N images.
        labels: (N,), their classes; the heat of that class is measured, also where the model missed it.
        lesions: N rows, none empty.
    """
    maps = shares(cases.heat(labels))
    marks = np.stack([mask(each, GRID) for each in lesions.regions])
    partners = _other_patients(cases.patients)
    other = (
        Located(*(Estimate(None, reason=ONE_PATIENT) for _ in range(2)))
        if partners is None
        else _locate(maps[partners], marks, cases.patients)
    )
    return Pointing(
        images=len(cases),
        patients=len(set(cases.patients)),
        source=lesions.source,
        own=_locate(maps, marks, cases.patients),
        other=other,
        area=mean_estimate(marks.mean(axis=(1, 2)), cases.patients),
        empty=int((maps.max(axis=(1, 2)) == 0).sum()),
    )


def hits(maps: NDArray[np.float32], marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,), whether the hottest point of each map (N, S, S) is marked; a map without heat misses."""
    flat = maps.reshape(len(maps), -1)
    hottest = flat.argmax(axis=1)
    inside: NDArray[np.bool_] = marks.reshape(len(marks), -1)[np.arange(len(maps)), hottest]
    warm: NDArray[np.bool_] = flat.max(axis=1) > 0
    return np.logical_and(inside, warm)


def energy(maps: NDArray[np.float32], marks: NDArray[np.bool_]) -> Array:
    """(N,), share of each map's heat inside the marks; maps sum to 1 or to 0."""
    inside: Array = (maps * marks).sum(axis=(1, 2), dtype=np.float64)
    return inside


def _locate(maps: NDArray[np.float32], marks: NDArray[np.bool_], patients: tuple[str, ...]) -> Located:
    return Located(proportion(hits(maps, marks), patients), mean_estimate(energy(maps, marks), patients))


def _other_patients(patients: tuple[str, ...]) -> NDArray[np.int64] | None:
    """For each row the next one, in a circle, that is of somebody else."""
    n = len(patients)
    partners = [next((j % n for j in range(i + 1, i + n) if patients[j % n] != patients[i]), None) for i in range(n)]
    return None if None in partners else np.array(partners, np.int64)
