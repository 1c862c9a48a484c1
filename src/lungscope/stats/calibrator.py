"""Which way of calibrating holds on patients it was not fitted on: chosen by cross-validation."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from lungscope.stats.calibration import Platt, fit_platt, fit_temperature
from lungscope.stats.candidate import CalibrationCandidate
from lungscope.stats.columns import class_indices
from lungscope.stats.estimate import Array
from lungscope.stats.patients import Patients, patient_index

METHODS = ("none", "temperature", "platt")
"""The simplest first: no parameter, one, and one more per class. See `fit`."""
FOLDS, REPEATS = 5, 4
FEWEST = 10
"""Patients of the rarest class below which a choice would be noise and temperature is taken as it is."""


@dataclass(frozen=True)
class Chosen:
    """probabilities = softmax(scale · logits + shift), and why this way."""

    method: str
    scale: float
    shift: tuple[float, ...]
    candidates: tuple[CalibrationCandidate, ...] = ()
    """Empty where nothing was compared."""
    reason: str = ""


def fit(method: str, logits: ArrayLike, labels: ArrayLike) -> Platt:
    """Scale and shift of one method.

    Args:
        method: "none"; "temperature", one scale (Guo et al. 2017); or "platt", a scale and a shift per class
            (Platt 1999; with more than two classes bias-corrected temperature, Alexandari et al. 2020).
        logits: (N, K), uncalibrated.
        labels: (N,), class indices.

    Raises:
        DataError: a class has no case, or a logit is not finite.
    """
    k = np.asarray(logits).shape[1]
    if method == "none":
        return Platt(1.0, (0.0,) * k)
    if method == "temperature":
        return Platt(1 / fit_temperature(logits, labels), (0.0,) * k)
    return fit_platt(logits, labels)


def choose_calibrator(logits: ArrayLike, labels: ArrayLike, patients: Patients, *, seed: int = 0) -> Chosen:
    """Choose among `METHODS` by log loss on held-out patients; the simplest within one standard error wins.

    The folds are drawn by patient, several times, and are the same for every method. The standard error is
    that of the paired difference to the best, over patients. The chosen method is fitted on all cases.

    Args:
        logits: (N, K), uncalibrated, of images the network did not learn from.
        labels: (N,), class indices.
        patients: (N,), whose each row is.
        seed: of the folds.

    Raises:
        DataError: a class has no case, or a logit is not finite.
    """
    scores = np.asarray(logits, np.float64)
    truth, index = class_indices(labels, scores.shape[1]), patient_index(patients)
    fewest = min(np.unique(index[truth == k]).size for k in range(scores.shape[1]))
    if fewest < FEWEST:
        found = fit("temperature", scores, truth)
        reason = f"the rarest class has {fewest} validation patients: too few to compare methods on"
        return Chosen("temperature", found.scale, found.shift, reason=reason)
    losses = _held_out_losses(scores, truth, index, seed)
    candidates = _rank(losses, index)
    winner = next(each for each in candidates if each.behind <= each.error)
    found = fit(winner.method, scores, truth)
    reason = "the lowest log loss on held-out patients"
    if winner.behind > 0:
        reason = "the simplest whose log loss on held-out patients is within one standard error of the lowest"
    return Chosen(winner.method, found.scale, found.shift, candidates, reason)


def _held_out_losses(scores: Array, truth: NDArray[np.int64], index: NDArray[np.intp], seed: int) -> Array:
    """(methods, N), the loss of each case when its patient was held out, averaged over the repeats."""
    losses = np.zeros((len(METHODS), truth.size))
    rng = np.random.default_rng(seed)
    for _ in range(REPEATS):
        for held in _folds(truth, index, rng):
            for row, method in enumerate(METHODS):
                found = fit(method, scores[~held], truth[~held])
                logits = found.scale * scores[held] + np.array(found.shift)
                own = log_softmax(logits, axis=1)[np.arange(held.sum()), truth[held]]
                losses[row, held] -= own / REPEATS
    return losses


def _folds(truth: NDArray[np.int64], index: NDArray[np.intp], rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
    """Masks (N,) of held-out cases: patients dealt in turn, class by class, so that each fold has its share."""
    patients, first = np.unique(index, return_index=True)
    shuffled = rng.permutation(patients.size)
    ordered = shuffled[np.argsort(truth[first[shuffled]], kind="stable")]
    fold = np.empty(patients.size, np.int64)
    fold[ordered] = np.arange(patients.size) % FOLDS
    for k in range(FOLDS):
        yield fold[index] == k


def _rank(losses: Array, index: NDArray[np.intp]) -> tuple[CalibrationCandidate, ...]:
    means = losses.mean(axis=1)
    best = int(means.argmin())
    return tuple(
        CalibrationCandidate(method, float(means[row]), float(means[row] - means[best]),
                             _error(losses[row] - losses[best], index))
        for row, method in enumerate(METHODS)
    )  # fmt: skip


def _error(difference: Array, index: NDArray[np.intp]) -> float:
    """Standard error of a mean over images that cluster by patient."""
    sums = np.bincount(index, weights=difference - difference.mean())
    n = sums.size
    return float(np.sqrt(n / (n - 1) * (sums**2).sum()) / difference.size)
