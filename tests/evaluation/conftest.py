"""Synthetic predictions: two classes, three classes, several images per patient."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from lungscope.evaluation.evaluate import Evaluation, evaluate
from lungscope.stats.operating import OperatingPoint, choose, parse_goal

GOALS = {"sensitivity-95": "sensitivity >= 0.95", "specificity-90": "specificity >= 0.90", "half": "0.5"}


@dataclass(frozen=True)
class Sample:
    """Labels and predictions of N images."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    patients: tuple[str, ...]
    classes: tuple[str, ...]

    def points(self) -> list[OperatingPoint]:
        suspicion = 1 - self.probabilities[:, 0].astype(np.float64)
        return [
            choose(parse_goal(goal), self.labels > 0, suspicion, name=name) for name, goal in GOALS.items()
        ]

    def evaluation(self, prevalence: float | None = None) -> Evaluation:
        return evaluate(
            self.labels, self.probabilities, self.patients, self.classes, self.points(), prevalence=prevalence,
            resamples=200,
        )  # fmt: skip


def draw(classes: tuple[str, ...], n: int, seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), n)
    logits = rng.normal(size=(n, len(classes)))
    logits[np.arange(n), labels] += 1.8
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    patients = tuple(f"person{i}" for i in rng.integers(0, n * 2 // 3, n))
    return Sample(labels, probabilities.astype(np.float32), patients, classes)


@pytest.fixture(scope="session")
def two() -> Sample:
    return draw(("NORMAL", "PNEUMONIA"), 300, seed=1)


@pytest.fixture(scope="session")
def three() -> Sample:
    return draw(("NORMAL", "BACTERIAL", "VIRAL"), 300, seed=2)
