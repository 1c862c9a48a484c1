"""How much more data would help: AUROC against the share of the training patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lungscope.evaluation.cases import check_cases, mean
from lungscope.evaluation.comparison import Candidate
from lungscope.evaluation.paired import auroc_metric
from lungscope.stats.estimate import Estimate
from lungscope.stats.patients import Patients
from lungscope.stats.resampling import RESAMPLES, estimate


@dataclass(frozen=True)
class LearningPoint:
    """A method that learned from a part of the training patients, measured on the same images as all others."""

    method: str
    fraction: float
    images: int
    patients: int
    """That it learned from; over folds the mean."""
    auroc: Estimate
    """Mean over seeds; with more than two classes over the classes too."""
    auroc_by_seed: tuple[float, ...]

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds."""
        return float(np.std(self.auroc_by_seed, ddof=1)) if len(self.auroc_by_seed) > 1 else None


def learning_point(
    candidate: Candidate,
    fraction: float,
    learned_from: tuple[int, int],
    labels: ArrayLike,
    patients: Patients,
    classes: Sequence[str],
    *,
    resamples: int = RESAMPLES,
) -> LearningPoint:
    """Measure one method at one fraction.

    Args:
        candidate: its predictions of the common cases, once per seed.
        fraction: of the training patients.
        learned_from: images and patients.
        labels: (N,), class indices of the common cases.
        patients: (N,), whose each row is.
        classes: K names.
        resamples: number of draws of patients.
    """
    cases = [check_cases(labels, rows, patients, classes) for rows in candidate.probabilities]
    area = estimate(mean([auroc_metric(each) for each in cases]), cases[0].patients, resamples=resamples)
    seeds = () if area.value is None else tuple(float(auroc_metric(each)(None)) for each in cases)
    return LearningPoint(candidate.name, fraction, *learned_from, area, seeds)
