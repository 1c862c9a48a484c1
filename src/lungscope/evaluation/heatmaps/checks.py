"""Every check of a model's heat maps, on bounded samples of what is evaluated."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lungscope.data.lesions import Lesions, find_lesions
from lungscope.data.manifest import Manifest
from lungscope.errors import BundleError
from lungscope.evaluation.heatmaps.cases import HeatCases, draw
from lungscope.evaluation.heatmaps.deletion import HeatCurves, stand_ins, trace_curves
from lungscope.evaluation.heatmaps.pointing import Pointing, point
from lungscope.evaluation.heatmaps.randomised import Randomisation, randomise
from lungscope.evaluation.heatmaps.regions import ClassRegions, measure_regions
from lungscope.evaluation.skipped import Skipped
from lungscope.inference.predictions import Predictions
from lungscope.inference.predictor import Predictor

SEED = 0
PLACES, MARKED, CURVES, SHUFFLED = 120, 200, 16, 32
"""Images of each check, at most; all but the marked ones are predicted again, the curves 54 times."""
DONORS = 200
"""Pictures called otherwise among which the most similar one is searched."""
LIGHT = 12_000_000
"""Bytes of a graph that a processor runs at hundreds of images a second; heavier ones get smaller samples."""
FEWEST = 6
NO_MARKS = (
    "nobody marked where the disease lies: no lesions.csv or boxes.csv is in the folders of these images, and their "
    "table has no columns x, y, width, height"
)
NOT_CALLED = "the model calls no image diseased"


@dataclass(frozen=True)
class MarkedCases:
    """Images whose disease was marked, with their labels and the marks."""

    cases: HeatCases
    labels: NDArray[np.int64] = field(repr=False)
    lesions: Lesions = field(repr=False)


@dataclass(frozen=True)
class HeatChecks:
    """What the checks found."""

    regions: tuple[ClassRegions, ...]
    pointing: Pointing | Skipped
    curves: HeatCurves | Skipped
    randomisation: Randomisation | Skipped
    grid: tuple[int, int]
    """Cells of a heat map, down and across."""
    sample: HeatCases = field(repr=False)
    """Images on which the places were measured."""
    marked: MarkedCases | Skipped = field(repr=False)
    reference: str = ""
    """The class that says "nothing found"; empty without one."""
    seed: int = SEED


def check_heat(
    chosen: Manifest, pixels: NDArray[np.uint8], predictions: Predictions, predictor: Predictor
) -> HeatChecks:
    """Check the heat maps of an evaluation.

    Args:
        chosen: N images.
        pixels: (N, S, S).
        predictions: of these, with heat maps.
        predictor: that made them.

    Raises:
        ManifestError: a table of marked places makes no sense.
        BundleError: there are no heat maps.
    """
    if predictions.heatmaps is None:
        raise BundleError("The predictions carry no heat maps. Predict with heat maps to have them checked.")
    cases = HeatCases(pixels, predictions.probabilities, predictions.heatmaps, chosen.patients, chosen.classes)
    has_reference = predictor.card.has_reference
    marked = _marked(chosen, cases, has_reference)
    # Health has no place: only what speaks for a disease can be taken away.
    called = np.flatnonzero(cases.called > 0) if has_reference else np.arange(len(cases))
    sample = cases.select(draw(cases.called, _bounded(PLACES, predictor), SEED))
    return HeatChecks(
        regions=measure_regions(sample, predictor),
        pointing=marked if isinstance(marked, Skipped) else point(marked.cases, marked.labels, marked.lesions),
        curves=_curves(cases, called, predictor),
        randomisation=_randomised(cases.select(called), predictor),
        grid=(predictions.heatmaps.shape[2], predictions.heatmaps.shape[3]),
        sample=sample,
        marked=marked,
        reference=chosen.classes[0] if has_reference else "",
    )


def _marked(chosen: Manifest, cases: HeatCases, has_reference: bool) -> MarkedCases | Skipped:
    diseased = np.flatnonzero(chosen.labels > 0) if has_reference else np.arange(len(chosen))
    rows = diseased[draw(chosen.labels[diseased], MARKED, SEED)]
    lesions = find_lesions(chosen.select(rows)) if len(rows) else None
    if lesions is None:
        return Skipped(NO_MARKS if len(rows) else "no image is labelled diseased")
    with_marks = np.array([row for row, regions in enumerate(lesions.regions) if regions], np.int64)
    kept = Lesions(tuple(lesions.regions[row] for row in with_marks), lesions.source)
    return MarkedCases(cases.select(rows[with_marks]), chosen.labels[rows[with_marks]], kept)


def _bounded(images: int, predictor: Predictor) -> int:
    return max(FEWEST, round(images * min(1.0, LIGHT / len(predictor.bundle.graph))))


def _curves(cases: HeatCases, called: NDArray[np.int64], predictor: Predictor) -> HeatCurves | Skipped:
    """Of images at the indices `called`."""
    if not len(called):
        return Skipped(NOT_CALLED)
    drawn = called[draw(cases.called[called], _bounded(CURVES, predictor), SEED)]
    healthy = np.setdiff1d(np.arange(len(cases)), called)
    pool = healthy if len(healthy) else called
    others = stand_ins(cases, drawn, pool[draw(cases.called[pool], DONORS, SEED)])
    drawn, others = drawn[others >= 0], others[others >= 0]
    if not len(drawn):
        return Skipped("the model calls every image the same, so no picture can stand in for what is taken away")
    return trace_curves(cases.select(drawn), cases.pixels[others], predictor, SEED)


def _randomised(called: HeatCases, predictor: Predictor) -> Randomisation | Skipped:
    if not len(called):
        return Skipped(NOT_CALLED)
    rows = draw(called.called, _bounded(SHUFFLED, predictor), SEED)
    try:
        return randomise(called.select(rows), predictor, SEED)
    except BundleError as error:
        return Skipped(str(error))
