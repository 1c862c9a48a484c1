"""The input check that every export passes: held against the original on validation images, each in its own runtime."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.card import Card
from lungscope.bundle.export_record import Agreement, Flips, OutputDifference
from lungscope.bundle.input_check import INPUT_CHECK_OUTPUTS, InputCheck
from lungscope.errors import BundleError, ManifestError, UndefinedEstimate
from lungscope.inference.predictor import BATCH
from lungscope.runtime.engine import Precision
from lungscope.runtime.session import Session
from lungscope.stats.metrics import auroc
from lungscope.stats.reference_class import p_abnormal

ASSESSED = "assessed"


@dataclass(frozen=True)
class Tolerance:
    """How far an export may be from the original."""

    probability: float
    """Largest difference of any probability."""
    flips: float
    """Share of images whose decision may change, at each operating point; one image always may."""
    auroc: float
    """Largest difference, either way."""
    heatmap: float
    """Relative root mean square difference."""


TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(probability=1e-4, flips=0.001, auroc=0.0005, heatmap=1e-3),
    "fp16": Tolerance(probability=0.05, flips=0.005, auroc=0.0005, heatmap=0.02),
    "bf16": Tolerance(probability=0.1, flips=0.01, auroc=0.001, heatmap=0.05),
    "int8": Tolerance(probability=0.25, flips=0.02, auroc=0.002, heatmap=0.2),
}


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images that exports are held against the original on."""

    pixels: NDArray[np.uint8]
    """(N, S, S)."""
    labels: NDArray[np.int64]
    """(N,), index into the model's classes."""
    source: str
    """Where they are from, in plain words."""


@dataclass(frozen=True, eq=False)
class Reference:
    """All that the original says of the images."""

    names: tuple[str, ...]
    outputs: tuple[NDArray[np.float32], ...] = field(repr=False)

    def of(self, name: str) -> NDArray[np.float32]:
        """One output of the N images."""
        return self.outputs[self.names.index(name)]


def collect(session: Session, pixels: NDArray[np.uint8]) -> Reference:
    """Run a graph over images (N, S, S) and keep every output it has."""
    chunks = [np.ascontiguousarray(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
    parts = [session.run([chunk], session.outputs) for chunk in chunks]
    columns = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return Reference(session.outputs, columns)


def compare(original: Reference, exported: Reference, labels: NDArray[np.int64], card: Card) -> Agreement:
    """Measure how far an export is from its original.

    Args:
        original: what the original says of N images.
        exported: what the export says of them; it must have every output of the original.
        labels: (N,).
        card: of the original.

    Raises:
        BundleError: an output is missing or not a number.
        ManifestError: the images are of one class, so that there is no AUROC.
    """
    missing = set(original.names) - set(exported.names)
    if missing:
        raise BundleError(f"The export lost the outputs {', '.join(sorted(missing))}. Report this network.")
    for name in original.names:
        if not np.isfinite(exported.of(name)).all():
            raise BundleError(f"The export's {name} is not a number for some images. Nothing was written.")
    before, after = original.of("probabilities"), exported.of("probabilities")
    areas, new_areas = _areas(labels, before, card), _areas(labels, after, card)
    worst = int(np.argmax(np.abs(new_areas - areas)))
    return Agreement(
        images=len(labels),
        largest_difference=float(np.abs(after - before).max()),
        flips=_flips(original, exported, card),
        auroc=float(new_areas[worst]),
        auroc_difference=float(new_areas[worst] - areas[worst]),
        outputs=tuple(
            OutputDifference(name, _relative(original.of(name), exported.of(name))) for name in original.names
        ),
    )


def flips_accepted(precision: Precision, images: int) -> int:
    """How many of so many decisions may flip at one operating point."""
    return max(1, math.floor(TOLERANCES[precision].flips * images))


def failures(found: Agreement, precision: Precision) -> tuple[str, ...]:
    """What is outside the tolerance of a precision, each in a few words; empty when nothing is."""
    allowed, lines = TOLERANCES[precision], []
    if not found.largest_difference <= allowed.probability:
        lines.append(f"largest |Δp| {found.largest_difference:.2g} (accepted: {allowed.probability:g})")
    most = flips_accepted(precision, found.images)
    lines += [
        f"{each.images} of {found.images} decisions flipped at {each.decision} (accepted: {most})"
        for each in found.flips
        if each.images > most
    ]
    if not abs(found.auroc_difference) <= allowed.auroc:
        lines.append(f"AUROC differs by {found.auroc_difference:+.4f} (accepted: {allowed.auroc:g})")
    if not found.of("heatmap") <= allowed.heatmap:
        lines.append(f"heat maps differ by {found.of('heatmap'):.2g} of their size (accepted: {allowed.heatmap:g})")
    return tuple(lines)


def _areas(labels: NDArray[np.int64], probabilities: NDArray[np.float32], card: Card) -> NDArray[np.float64]:
    """AUROC of p_abnormal where a class is a reference, and of several classes each against all others."""
    questions = [(labels > 0, p_abnormal(probabilities))] if card.has_reference else []
    if len(card.classes) > 2 or not questions:
        questions += [(labels == k, probabilities[:, k]) for k in range(len(card.classes))]
    found = []
    for positive, scores in questions:
        try:
            found.append(float(auroc(positive, scores)))
        except UndefinedEstimate:
            continue
    if not found:
        raise ManifestError(
            "The validation images are of one class, so no AUROC can be compared. Name --data with all classes."
        )
    return np.array(found)


def _flips(original: Reference, exported: Reference, card: Card) -> tuple[Flips, ...]:
    before, after = (p_abnormal(each.of("probabilities")) for each in (original, exported))
    found = [
        Flips(point.name, int(((before >= point.threshold) != (after >= point.threshold)).sum()))
        for point in card.operating_points
    ]
    if not found:
        likeliest = [each.of("probabilities").argmax(1) for each in (original, exported)]
        found = [Flips("likeliest class", int((likeliest[0] != likeliest[1]).sum()))]
    if card.input_check and set(INPUT_CHECK_OUTPUTS) <= set(original.names):
        kept = [_assessed(each, card.input_check) for each in (original, exported)]
        found.append(Flips(ASSESSED, int((kept[0] != kept[1]).sum())))
    return tuple(found)


def _assessed(found: Reference, input_check: InputCheck) -> NDArray[np.bool_]:
    distances, checks = (found.of(name) for name in INPUT_CHECK_OUTPUTS)
    reasons = input_check.reasons(distances, checks)
    return np.array([not reason for reason in reasons])


def _relative(original: NDArray[Any], exported: NDArray[Any]) -> float:
    size = float(np.sqrt(np.mean(np.square(original, dtype=np.float64))))
    difference = float(np.sqrt(np.mean(np.square(exported.astype(np.float64) - original))))
    return difference / size if size > 0 else difference
