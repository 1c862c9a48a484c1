"""What a bundle tells of how its scores lie in each class, for questions about the prevalence elsewhere."""

import numpy as np

from lungscope.bundle.bundle import Card
from lungscope.stats.prevalence_shift import ClassScores, class_scores


def validation_scores(card: Card) -> ClassScores | None:
    """p_abnormal in each of two classes on validation; None with more classes, or where the card does not keep it."""
    curve = card.validation.curve if card.validation else None
    if curve is None or len(card.classes) != 2 or not (curve.positives and curve.negatives):
        return None
    return class_scores(
        np.array(curve.thresholds), np.array(curve.sensitivity), np.array(curve.specificity),
        curve.positive_patients or curve.positives, curve.negative_patients or curve.negatives,
    )  # fmt: skip
