"""How well a model knows what it must not assess: the input check and the prediction sets, measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.input_check import look_at_pixels
from lungscope.data.manifest import Manifest
from lungscope.evaluation.out_of_distribution import (
    OutOfDistributionImages,
    blank,
    misplaced,
    noise,
    other_pictures,
    out_of_distribution,
    slices,
)
from lungscope.inference.predictor import Predictions, Predictor
from lungscope.reports.section import Section, Table
from lungscope.reports.summary import Cell, cell, percent
from lungscope.stats.metrics import Estimate
from lungscope.stats.proportion import proportion

COMMON = 0.95
"""Coverage at which models are compared, whatever their own."""
TURNED = 150
"""Evaluated radiographs that are shown turned and inverted."""
RATES = (0.01, 0.02, 0.05, 0.1)
"""Error rates at which prediction sets are measured."""


@dataclass(frozen=True)
class Detection:
    """How many pictures of a kind that must not be assessed are declined."""

    kind: str
    images: int
    declined: Estimate
    """At the model's own coverage, by all checks."""
    declined_common: Estimate
    """At the common coverage, by all checks."""
    distance_common: Estimate
    """At the common coverage, by distance alone."""


@dataclass(frozen=True)
class InputCheckEstimates:
    """The input check on the evaluated images and on pictures that are none of their kind."""

    coverage: float
    """As chosen on validation."""
    assessed: Estimate
    assessed_common: Estimate
    """Shares of the evaluated images that are assessed."""
    right_assessed: Estimate
    right_declined: Estimate
    """Accuracy, with the likeliest class as the decision, of images that are assessed and of those that are not."""
    detections: tuple[Detection, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SetEstimates:
    """Prediction sets at one error rate."""

    error_rate: float
    missed: tuple[Estimate, ...]
    """For each class, share of its images whose set misses it."""
    single: Estimate
    """Share of sets that name one class only."""


def measure_input_check(
    predictor: Predictor,
    chosen: Manifest,
    pixels: NDArray[np.uint8],
    predictions: Predictions,
    others: Sequence[Path] = (),
    *,
    seed: int = 0,
) -> InputCheckEstimates | None:
    """Hold the input check against the evaluated images and against pictures it should decline.

    Args:
        predictor: of the model.
        chosen: the evaluated images.
        pixels: (N, S, S), theirs.
        predictions: of them.
        others: folders of images of another kind, such as another age group.
        seed: which of the evaluated images are shown turned and inverted.

    Returns:
        None when the model has no input check.
    """
    input_check = predictor.card.input_check
    if input_check is None or predictions.distances is None:
        return None
    own, common = (
        np.array(
            [not reason for reason in input_check.reasons(predictions.distances, predictions.checks, share)]
        )
        for share in (None, COMMON)
    )
    shown = np.array([not look_at_pixels(each) for each in pixels])
    right = predictions.probabilities.argmax(1) == chosen.labels
    patients = np.array(chosen.patients)
    some = np.sort(np.random.default_rng(seed).permutation(len(pixels))[:TURNED])
    size = predictor.card.size
    pictures, notes = other_pictures(size)
    kinds = [
        pictures, slices(size), noise(size), blank(size),
        *misplaced(pixels[some], tuple(patients[some])), *(out_of_distribution(folder, size) for folder in others),
    ]  # fmt: skip
    assessed = own & shown
    return InputCheckEstimates(
        coverage=input_check.coverage,
        assessed=proportion(assessed, patients),
        assessed_common=proportion(common & shown, patients),
        right_assessed=proportion(right[assessed], patients[assessed], empty="no image is assessed"),
        right_declined=proportion(right[~assessed], patients[~assessed], empty="every image is assessed"),
        detections=tuple(_detection(predictor, each) for each in kinds),
        notes=notes,
    )


def measure_sets(
    predictor: Predictor, chosen: Manifest, predictions: Predictions
) -> tuple[SetEstimates, ...]:
    """How often prediction sets miss the true class; nothing for models that have none."""
    conformal = predictor.card.conformal
    if conformal is None:
        return ()
    patients, labels, found = np.array(chosen.patients), chosen.labels, []
    for rate in RATES:
        sets = conformal.sets(predictions.probabilities, rate)
        missed = ~sets[np.arange(len(labels)), labels]
        each = tuple(
            proportion(missed[labels == k], patients[labels == k], empty=f"no case is {name}")
            for k, name in enumerate(chosen.classes)
        )
        found.append(SetEstimates(rate, each, proportion(sets.sum(1) == 1, patients)))
    return tuple(found)


def _detection(predictor: Predictor, strangers: OutOfDistributionImages) -> Detection:
    images, input_check = strangers.radiographs, predictor.card.input_check
    if not images or input_check is None:
        none = Estimate(None, reason="no such picture is installed")
        return Detection(strangers.kind, 0, none, none, none)
    found = predictor.predict(np.stack([each.pixels for each in images]), heatmaps=False)
    patients = strangers.patients or None
    distances = np.zeros(len(images)) if found.distances is None else found.distances
    return Detection(
        strangers.kind,
        len(images),
        proportion([bool(reason) for reason in predictor.judge(images, found)], patients),
        proportion([bool(reason) for reason in predictor.judge(images, found, COMMON)], patients),
        proportion(~(distances <= input_check.limit(COMMON)), patients),
    )


def input_check_json(
    input_check: InputCheckEstimates | None, sets: Sequence[SetEstimates], classes: Sequence[str]
) -> dict[str, Any]:
    """The entries `input_check` and `prediction_sets` of `evaluation.json`."""
    return {
        "input_check": None if input_check is None else _input_check_json(input_check),
        "prediction_sets": [
            {
                "error_rate": each.error_rate,
                "missed": dict(zip(classes, map(_estimate, each.missed), strict=True)),
                "single": _estimate(each.single),
            }
            for each in sets
        ],
    }


def input_check_section(
    input_check: InputCheckEstimates | None, sets: Sequence[SetEstimates], classes: Sequence[str]
) -> Section:
    """The part of a report about images without an answer."""
    tables = [_sets_table(sets, classes)] if sets else []
    if input_check is None:
        lead = "This model has no input check: whatever can be read is assessed, also what is no chest radiograph."
        return Section("Images that are not assessed", lead, tables=tuple(tables))
    lead = (
        f"The model declines what is unlike its training images. It was set to assess {input_check.coverage:.0%} of "
        f"such images and assesses {_share(input_check.assessed)} of these. Every other figure of this report counts "
        "all images."
    )
    return Section(
        "Images that are not assessed", lead, warnings=_warnings(input_check),
        tables=(_coverage_table(input_check), _detection_table(input_check), *tables),
    )  # fmt: skip


def _warnings(input_check: InputCheckEstimates) -> tuple[str, ...]:
    found = list(input_check.notes)
    if input_check.assessed.high is not None and input_check.assessed.high < input_check.coverage:
        found.insert(
            0,
            f"Fewer images are assessed than the {input_check.coverage:.0%} that were planned: these images differ "
            "from those the model was trained on. Look at some that were declined before using it here.",
        )
    return tuple(found)


def _coverage_table(input_check: InputCheckEstimates) -> Table:
    rows = (
        (f"assessed, set to {input_check.coverage:.0%}", cell(input_check.assessed)),
        (f"assessed, set to {COMMON:.0%}", cell(input_check.assessed_common)),
        ("accuracy of what is assessed", cell(input_check.right_assessed)),
        ("accuracy of what is declined", cell(input_check.right_declined)),
    )
    return Table(
        "Evaluated images", ("", "share (95 % interval)"), rows,
        "Declining pays when the model would have been wrong more often on what it declines.",
    )  # fmt: skip


def _detection_table(input_check: InputCheckEstimates) -> Table:
    own, common = f"{input_check.coverage:.0%}", f"{COMMON:.0%}"
    header = ("what", "pictures", f"set to {own}", f"set to {common}", f"distance alone, {common}")
    rows: tuple[tuple[str | Cell, ...], ...] = tuple(
        (
            each.kind,
            str(each.images),
            *map(cell, (each.declined, each.declined_common, each.distance_common)),
        )
        for each in input_check.detections
    )
    return Table(
        "Pictures the model must not assess: share declined", header, rows,
        "Each share is of pictures that the model was not trained on; 100% is what is wanted.",
    )  # fmt: skip


def _sets_table(sets: Sequence[SetEstimates], classes: Sequence[str]) -> Table:
    header = ("asked for", *(f"{name} missed" for name in classes), "sets of one class")
    rows: tuple[tuple[str | Cell, ...], ...] = tuple(
        (f"{each.error_rate:.0%}", *map(cell, each.missed), cell(each.single)) for each in sets
    )
    return Table(
        "Prediction sets: share that misses the class", header, rows,
        "A set names every class that cannot be ruled out; for no class should it miss more than was asked for.",
    )  # fmt: skip


def _share(estimate: Estimate) -> str:
    return "n/a" if estimate.value is None else percent(estimate.value)


def _input_check_json(input_check: InputCheckEstimates) -> dict[str, Any]:
    return {
        "coverage": input_check.coverage,
        **{
            name: _estimate(getattr(input_check, name))
            for name in ("assessed", "assessed_common", "right_assessed", "right_declined")
        },
        "common_coverage": COMMON,
        "detections": [
            {
                "kind": each.kind,
                "images": each.images,
                **{
                    name: _estimate(getattr(each, name))
                    for name in ("declined", "declined_common", "distance_common")
                },
            }
            for each in input_check.detections
        ],
        "notes": list(input_check.notes),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    if estimate.value is None:
        return {"value": None, "ci95": None, "reason": estimate.reason}
    given = estimate.low is not None and estimate.high is not None
    interval = [round(float(end), 6) for end in (estimate.low, estimate.high) if end is not None]
    return {"value": round(estimate.value, 6), "ci95": interval if given else None}
