"""How well a model knows what it must not assess: the gate and the prediction sets, measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.input_check import look_at_pixels
from lungscope.data.manifest import Manifest
from lungscope.evaluation.out_of_distribution import (
    Strangers,
    blank,
    far,
    misplaced,
    noise,
    other_pictures,
    slices,
)
from lungscope.inference.predictor import Predictions, Predictor
from lungscope.reports.section import Chapter, Table
from lungscope.reports.summary import Cell, cell, percent
from lungscope.stats.metrics import Figure
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
    declined: Figure
    """At the model's own coverage, by all checks."""
    declined_common: Figure
    """At the common coverage, by all checks."""
    distance_common: Figure
    """At the common coverage, by distance alone."""


@dataclass(frozen=True)
class GateFigures:
    """The gate on the evaluated images and on pictures that are none of their kind."""

    coverage: float
    """As chosen on validation."""
    assessed: Figure
    assessed_common: Figure
    """Shares of the evaluated images that are assessed."""
    right_assessed: Figure
    right_declined: Figure
    """Accuracy, with the likeliest class as the decision, of images that are assessed and of those that are not."""
    detections: tuple[Detection, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SetFigures:
    """Prediction sets at one error rate."""

    error_rate: float
    missed: tuple[Figure, ...]
    """For each class, share of its images whose set misses it."""
    single: Figure
    """Share of sets that name one class only."""


def measure_gate(
    predictor: Predictor,
    chosen: Manifest,
    pixels: NDArray[np.uint8],
    predictions: Predictions,
    others: Sequence[Path] = (),
    *,
    seed: int = 0,
) -> GateFigures | None:
    """Hold the gate against the evaluated images and against pictures it should decline.

    Args:
        predictor: of the model.
        chosen: the evaluated images.
        pixels: (N, S, S), theirs.
        predictions: of them.
        others: folders of images of another kind, such as another age group.
        seed: which of the evaluated images are shown turned and inverted.

    Returns:
        None when the model has no gate.
    """
    gate = predictor.card.gate
    if gate is None or predictions.distances is None:
        return None
    own, common = (
        np.array([not reason for reason in gate.reasons(predictions.distances, predictions.checks, share)])
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
        *misplaced(pixels[some], tuple(patients[some])), *(far(folder, size) for folder in others),
    ]  # fmt: skip
    assessed = own & shown
    return GateFigures(
        coverage=gate.coverage,
        assessed=proportion(assessed, patients),
        assessed_common=proportion(common & shown, patients),
        right_assessed=proportion(right[assessed], patients[assessed], empty="no image is assessed"),
        right_declined=proportion(right[~assessed], patients[~assessed], empty="every image is assessed"),
        detections=tuple(_detection(predictor, each) for each in kinds),
        notes=notes,
    )


def measure_sets(predictor: Predictor, chosen: Manifest, predictions: Predictions) -> tuple[SetFigures, ...]:
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
        found.append(SetFigures(rate, each, proportion(sets.sum(1) == 1, patients)))
    return tuple(found)


def _detection(predictor: Predictor, strangers: Strangers) -> Detection:
    images, gate = strangers.radiographs, predictor.card.gate
    if not images or gate is None:
        none = Figure(None, reason="no such picture is installed")
        return Detection(strangers.kind, 0, none, none, none)
    found = predictor.predict(np.stack([each.pixels for each in images]), heatmaps=False)
    patients = strangers.patients or None
    distances = np.zeros(len(images)) if found.distances is None else found.distances
    return Detection(
        strangers.kind,
        len(images),
        proportion([bool(reason) for reason in predictor.judge(images, found)], patients),
        proportion([bool(reason) for reason in predictor.judge(images, found, COMMON)], patients),
        proportion(~(distances <= gate.limit(COMMON)), patients),
    )


def abstention_json(
    gate: GateFigures | None, sets: Sequence[SetFigures], classes: Sequence[str]
) -> dict[str, Any]:
    """The entries `gate` and `prediction_sets` of `evaluation.json`."""
    return {
        "gate": None if gate is None else _gate_json(gate),
        "prediction_sets": [
            {
                "error_rate": each.error_rate,
                "missed": dict(zip(classes, map(_figure, each.missed), strict=True)),
                "single": _figure(each.single),
            }
            for each in sets
        ],
    }


def abstention_chapter(
    gate: GateFigures | None, sets: Sequence[SetFigures], classes: Sequence[str]
) -> Chapter:
    """The part of a report about images without an answer."""
    tables = [_sets_table(sets, classes)] if sets else []
    if gate is None:
        lead = "This model has no gate: whatever can be read is assessed, also what is no chest radiograph."
        return Chapter("Images that are not assessed", lead, tables=tuple(tables))
    lead = (
        f"The model declines what is unlike its training images. It was set to assess {gate.coverage:.0%} of such "
        f"images and assesses {_share(gate.assessed)} of these. Every other figure of this report counts all images."
    )
    return Chapter(
        "Images that are not assessed", lead, warnings=_warnings(gate),
        tables=(_coverage_table(gate), _detection_table(gate), *tables),
    )  # fmt: skip


def _warnings(gate: GateFigures) -> tuple[str, ...]:
    found = list(gate.notes)
    if gate.assessed.high is not None and gate.assessed.high < gate.coverage:
        found.insert(
            0,
            f"Fewer images are assessed than the {gate.coverage:.0%} that were planned: these images differ from those "
            "the model was trained on. Look at some that were declined before using it here.",
        )
    return tuple(found)


def _coverage_table(gate: GateFigures) -> Table:
    rows = (
        (f"assessed, set to {gate.coverage:.0%}", cell(gate.assessed)),
        (f"assessed, set to {COMMON:.0%}", cell(gate.assessed_common)),
        ("accuracy of what is assessed", cell(gate.right_assessed)),
        ("accuracy of what is declined", cell(gate.right_declined)),
    )
    return Table(
        "Evaluated images", ("", "share (95 % interval)"), rows,
        "Declining pays when the model would have been wrong more often on what it declines.",
    )  # fmt: skip


def _detection_table(gate: GateFigures) -> Table:
    own, common = f"{gate.coverage:.0%}", f"{COMMON:.0%}"
    header = ("what", "pictures", f"set to {own}", f"set to {common}", f"distance alone, {common}")
    rows: tuple[tuple[str | Cell, ...], ...] = tuple(
        (
            each.kind,
            str(each.images),
            *map(cell, (each.declined, each.declined_common, each.distance_common)),
        )
        for each in gate.detections
    )
    return Table(
        "Pictures the model must not assess: share declined", header, rows,
        "Each share is of pictures that the model was not trained on; 100% is what is wanted.",
    )  # fmt: skip


def _sets_table(sets: Sequence[SetFigures], classes: Sequence[str]) -> Table:
    header = ("asked for", *(f"{name} missed" for name in classes), "sets of one class")
    rows: tuple[tuple[str | Cell, ...], ...] = tuple(
        (f"{each.error_rate:.0%}", *map(cell, each.missed), cell(each.single)) for each in sets
    )
    return Table(
        "Prediction sets: share that misses the class", header, rows,
        "A set names every class that cannot be ruled out; for no class should it miss more than was asked for.",
    )  # fmt: skip


def _share(figure: Figure) -> str:
    return "n/a" if figure.value is None else percent(figure.value)


def _gate_json(gate: GateFigures) -> dict[str, Any]:
    return {
        "coverage": gate.coverage,
        **{
            name: _figure(getattr(gate, name))
            for name in ("assessed", "assessed_common", "right_assessed", "right_declined")
        },
        "common_coverage": COMMON,
        "detections": [
            {
                "kind": each.kind,
                "images": each.images,
                **{
                    name: _figure(getattr(each, name))
                    for name in ("declined", "declined_common", "distance_common")
                },
            }
            for each in gate.detections
        ],
        "notes": list(gate.notes),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    if figure.value is None:
        return {"value": None, "ci95": None, "reason": figure.reason}
    given = figure.low is not None and figure.high is not None
    interval = [round(float(end), 6) for end in (figure.low, figure.high) if end is not None]
    return {"value": round(figure.value, 6), "ci95": interval if given else None}
