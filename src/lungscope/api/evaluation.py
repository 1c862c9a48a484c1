"""Evaluation of any model from its labels and probabilities alone."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.data.score_table import read_scores
from lungscope.errors import ConfigError
from lungscope.experiments.evaluate_scores import ScoreEvaluation as ScoreEvaluation
from lungscope.experiments.evaluate_scores import evaluate_scores


def evaluate(
    labels: ArrayLike | str | os.PathLike[str],
    probabilities: ArrayLike | None = None,
    *,
    patients: Sequence[str] | NDArray[np.str_] | None = None,
    classes: Sequence[str] | None = None,
    thresholds: float | Sequence[float] = 0.5,
    prevalence: float | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> ScoreEvaluation:
    """Measure a model of any framework, or a vendor's scores: the whole report with intervals by patient.

    Thresholds are given, never chosen here: a threshold chosen on the data it is measured on looks better than it is.

    Args:
        labels: (N,), class indices or names of classes; or a CSV with the columns label, one per class and, if
            wanted, patient and others for subgroups, and then nothing but `thresholds` and `prevalence` beside it.
        probabilities: (N, K), rows sum to 1; or of two classes (N,), of the second one.
        patients: (N,), whose each row is; every row a patient of its own when not given.
        classes: K names, the reference class first; by default the names among the labels, or their numbers.
        thresholds: on the probability of not being of the first class, 0..1.
        prevalence: share of diseased where the scores will be used, between 0 and 1.
        columns: per name N texts, empty where unknown; for subgroups.

    Raises:
        ManifestError: not such a table; the message names the line.
        DataError: a label without a class, a value that is no probability, or columns that do not fit.
        ConfigError: a threshold or the prevalence is outside its range, or the arguments contradict each other.
    """
    if not isinstance(labels, str | os.PathLike):
        if probabilities is None:
            raise ConfigError("Labels without probabilities. Give both, or the path of a CSV that holds them.")
        return evaluate_scores(
            labels, probabilities, patients=patients, classes=classes, thresholds=thresholds, prevalence=prevalence,
            columns=columns,
        )  # fmt: skip
    if any(each is not None for each in (probabilities, patients, classes, columns)):
        raise ConfigError("A CSV holds probabilities, patients, classes and columns itself. Leave these arguments out.")
    table = read_scores(Path(labels))
    return evaluate_scores(
        table.labels, table.probabilities, patients=table.patients, classes=table.classes, thresholds=thresholds,
        prevalence=prevalence, columns=table.columns,
    )  # fmt: skip
