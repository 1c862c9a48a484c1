"""What is different from the images a model was validated on."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.validation_summary import BINS, Outcome, Reference, Validation, sketch
from lungscope.evaluation.evaluate import Evaluation
from lungscope.stats.estimate import Estimate
from lungscope.stats.proportion import wilson

NOT_KEPT = Estimate(None, reason="the model does not keep it")


@dataclass(frozen=True)
class Change:
    """An estimate on validation and on these data."""

    name: str
    key: str
    then: Estimate
    now: Estimate
    is_share: bool = False

    @property
    def clear(self) -> bool:
        """Whether the two intervals are apart."""
        if self.then.low is None or self.then.high is None or self.now.low is None or self.now.high is None:
            return False
        return self.then.high < self.now.low or self.now.high < self.then.low


@dataclass(frozen=True)
class Shift:
    """These data beside validation."""

    n: int
    """Validation images."""
    changes: tuple[Change, ...]
    mean_score: tuple[float, float]
    """On validation and here."""
    stability: float
    """Population stability index of the scores; 0 is none."""
    embedding: float
    """Root mean square shift of the embeddings' sketch, in deviations of validation; 0 is none."""
    by_chance: float
    """What so many images of the same kind would show."""


def measure_shift(
    evaluation: Evaluation, scores: NDArray[np.floating], embeddings: NDArray[np.float32], validation: Validation
) -> Shift:
    """Hold an evaluation against what the card keeps of validation.

    Args:
        evaluation: of these data.
        scores: (N,), as `Card.ranking_score` has them.
        embeddings: (N, D).
        validation: of the card.
    """
    reference = validation.reference
    return Shift(
        n=reference.n,
        changes=_changes(evaluation, validation),
        mean_score=(reference.mean_score, float(scores.mean())),
        stability=_stability(scores, reference),
        embedding=_embedding_shift(embeddings, reference),
        by_chance=math.sqrt(1 / len(scores) + 1 / reference.n),
    )


def _changes(evaluation: Evaluation, validation: Validation) -> tuple[Change, ...]:
    then = validation.outcome or _without_outcome(validation)
    here = evaluation.recalibration
    area = evaluation.p_abnormal_auroc if validation.curve else evaluation.auroc
    found = [Change("AUROC", "auroc", then.auroc, area)]
    if validation.curve:
        n = validation.curve.positives + validation.curve.negatives
        share = 1 - then.shares[0] if then.shares else validation.curve.positives / n
        found += [
            Change("Prevalence", "prevalence", _share(share, then.patients or n), evaluation.prevalence, is_share=True),
            Change("Calibration slope", "calibration_slope", then.slope, here.slope),
            Change("Calibration in the large", "calibration_in_the_large", then.in_the_large, here.in_the_large),
        ]  # fmt: skip
    return tuple(found)


def _without_outcome(validation: Validation) -> Outcome:
    curve = validation.curve
    if curve is None:
        return Outcome((), 0, NOT_KEPT, NOT_KEPT, NOT_KEPT)
    # The area under the points that the card keeps is that of all images to the third digit.
    area = float(np.trapezoid(curve.sensitivity, curve.specificity))
    known = Estimate(area, reason="no interval: the model keeps the curve only")
    return Outcome((), 0, known, NOT_KEPT, NOT_KEPT)


def _share(share: float, n: int) -> Estimate:
    low, high = wilson(share, n)
    return Estimate(share, float(low), float(high))


def _stability(scores: NDArray[np.floating], reference: Reference) -> float:
    counts, _ = np.histogram(scores, bins=BINS, range=(0, 1))
    seen = (counts + 0.5) / (counts.sum() + 0.5 * BINS)
    wanted = (np.array(reference.shares) * reference.n + 0.5) / (reference.n + 0.5 * BINS)
    return float(((seen - wanted) * np.log(seen / wanted)).sum())


def _embedding_shift(embeddings: NDArray[np.float32], reference: Reference) -> float:
    moved = sketch(embeddings).mean(axis=0) - np.array(reference.sketch_mean)
    return float(np.sqrt(((moved / np.maximum(reference.sketch_deviation, 1e-9)) ** 2).mean()))
