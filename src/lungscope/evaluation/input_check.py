"""How well a model knows what it must not assess: the input check and the prediction sets, measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.data.images.radiograph import Radiograph
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
from lungscope.inference.predictions import Predictions
from lungscope.inference.predictor import Predictor
from lungscope.inference.result import ImageResult
from lungscope.stats.estimate import Estimate
from lungscope.stats.proportion import proportion

COMMON = 0.95
"""Coverage at which models are compared, whatever their own."""
TURNED = 150
"""Evaluated radiographs that are shown turned and inverted."""
RATES = (0.01, 0.02, 0.05, 0.1)
"""Error rates at which prediction sets are measured."""


@dataclass(frozen=True)
class Detection:
    """How many pictures of a kind that must not be assessed are rejected."""

    kind: str
    images: int
    rejected: Estimate
    """At the model's own coverage, by all checks."""
    rejected_common: Estimate
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
    right_rejected: Estimate
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
    images: Sequence[Radiograph],
    results: Sequence[ImageResult],
    others: Sequence[Path] = (),
    *,
    seed: int = 0,
) -> InputCheckEstimates | None:
    """Hold the input check against the evaluated images and against pictures it should reject.

    Args:
        predictor: of the model.
        chosen: the evaluated images.
        images: these, as read.
        results: of them.
        others: folders of images of another kind, such as another age group.
        seed: which of the evaluated images are shown turned and inverted.

    Returns:
        None when the model has no input check.
    """
    input_check = predictor.card.input_check
    if input_check is None:
        return None
    assessed, common = _assessed(predictor, images, results)
    right = np.array([each.probabilities for each in results]).argmax(1) == chosen.labels
    patients = np.array(chosen.patients)
    some = np.sort(np.random.default_rng(seed).permutation(len(images))[:TURNED])
    turned = np.stack([images[i].pixels for i in some])
    size = predictor.card.size
    pictures, notes = other_pictures(size)
    kinds = [
        pictures, slices(size), noise(size), blank(size),
        *misplaced(turned, tuple(patients[some])), *(out_of_distribution(folder, size) for folder in others),
    ]  # fmt: skip
    return InputCheckEstimates(
        coverage=input_check.coverage,
        assessed=proportion(assessed, patients),
        assessed_common=proportion(common, patients),
        right_assessed=proportion(right[assessed], patients[assessed], empty="no image is assessed"),
        right_rejected=proportion(right[~assessed], patients[~assessed], empty="every image is assessed"),
        detections=tuple(_detection(predictor, each) for each in kinds),
        notes=notes,
    )


def measure_sets(predictor: Predictor, chosen: Manifest, predictions: Predictions) -> tuple[SetEstimates, ...]:
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


def _detection(predictor: Predictor, others: OutOfDistributionImages) -> Detection:
    images, input_check = others.radiographs, predictor.card.input_check
    if not images or input_check is None:
        none = Estimate(None, reason="no such picture is installed")
        return Detection(others.kind, 0, none, none, none)
    results, patients = predictor.assess(images), others.patients or None
    assessed, common = _assessed(predictor, images, results)
    near = [each.distance is not None and each.distance <= input_check.limit(COMMON) for each in results]
    return Detection(
        others.kind,
        len(images),
        proportion(~assessed, patients),
        proportion(~common, patients),
        proportion(~np.array(near), patients),
    )


def _assessed(
    predictor: Predictor, images: Sequence[Radiograph], results: Sequence[ImageResult]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images (N,) are assessed, at the model's own coverage and at the common one."""
    reasons = predictor.rejection_reasons(images, Predictions.of(results), COMMON)
    return np.array([not each.not_assessed for each in results]), np.array([not each for each in reasons])
