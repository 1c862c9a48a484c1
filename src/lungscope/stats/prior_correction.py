"""Label shift: the same disease at another prevalence. NumPy only: a prediction imports this."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lungscope.errors import DataError, UndefinedEstimate
from lungscope.stats.columns import numbers
from lungscope.stats.estimate import Array

ROUNDING = 1e-3
"""How far probabilities of one case may be from summing to 1, as half precision leaves them."""


@dataclass(frozen=True)
class Adapted:
    """Probabilities for the prevalence that unlabelled data seem to have."""

    probabilities: Array
    """(N, K), rows sum to 1."""
    prior: Array
    """(K,), the estimated share of each class, sum 1."""


def adapt(probabilities: ArrayLike, prior: ArrayLike) -> Adapted:
    """Estimate the share of each class in unlabelled data and correct the probabilities for it.

    Whether the data carry such an estimate is not asked here; `stats.prevalence_shift.examine` does.

    Args:
        probabilities: (N, K), calibrated for `prior`.
        prior: (K,), shares of the data the model was calibrated on, `card.prior` of a bundle; above 0, sum 1.

    Raises:
        UndefinedEstimate: no case, a probability is not a number, or no convergence.
        DataError: a probability or share is outside its range, or the two do not fit.
    """
    # A share of 0 would make its class impossible whatever the picture shows.
    found = np.maximum(em_prior(probabilities, prior), 1e-6)
    found /= found.sum()
    return Adapted(shift_prior(probabilities, prior, found), found)


def em_prior(
    probabilities: ArrayLike, prior: ArrayLike, *, tolerance: float = 1e-8, max_iterations: int = 20_000
) -> Array:
    """Share of each class in unlabelled data, by expectation maximisation (Saerens et al. 2002).

    Holds when only the shares have changed and the probabilities are calibrated for `prior`.

    Args:
        probabilities: (N, K).
        prior: (K,), the shares that the probabilities were calibrated for; above 0, sum 1.
        tolerance: largest change of a share at which it has converged.
        max_iterations: after which the attempt is given up.

    Returns:
        (K,), sum 1.

    Raises:
        UndefinedEstimate: no case, a probability is not a number, or no convergence.
        DataError: a probability or share is outside its range, or the two do not fit.
    """
    columns, old = _columns_and_prior(probabilities, prior)
    if not len(columns):
        raise UndefinedEstimate("no case")
    new = old
    for _ in range(max_iterations):
        joint = columns * (new / old)
        step: Array = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
        change = float(np.abs(step - new).max())
        new = step
        if change < tolerance:
            return new
    raise UndefinedEstimate("the shares do not converge: the classes overlap too much in these data")


def shift_prior(probabilities: ArrayLike, prior: ArrayLike, new_prior: ArrayLike) -> Array:
    """Probabilities for another prevalence, by Bayes' rule.

    Args:
        probabilities: (N, K), calibrated for `prior`.
        prior: (K,), above 0, sum 1.
        new_prior: (K,), above 0, sum 1.

    Returns:
        (N, K), rows sum to 1.

    Raises:
        UndefinedEstimate: a probability is not a number.
        DataError: a probability or share is outside its range, or they do not fit.
    """
    columns, old = _columns_and_prior(probabilities, prior)
    joint = columns * (_shares(new_prior, old.size) / old)
    shifted: Array = joint / joint.sum(axis=1, keepdims=True)
    return shifted


def as_probabilities(probabilities: ArrayLike) -> Array:
    """Probabilities as floats, (N,) or (N, K), clipped to 0..1 where only rounding has left it.

    Raises:
        UndefinedEstimate: a probability is not a number.
        DataError: a value is outside 0..1, there is one column only, or rows do not sum to 1.
    """
    given = numbers(probabilities, "probabilities")
    if given.ndim not in (1, 2) or given.shape[1:] == (1,):
        raise DataError(
            f"Probabilities must be (N,) or (N, K) with K >= 2, not {given.shape}. Pass a column per class."
        )
    if given.size and (given.min() < -ROUNDING or given.max() > 1 + ROUNDING):
        raise DataError(
            f"Probabilities reach from {given.min():.3g} to {given.max():.3g}. Pass probabilities, not logits."
        )
    if given.ndim == 2 and (np.abs(given.sum(axis=1) - 1) > ROUNDING).any():
        raise DataError("Probabilities of a case must sum to 1 over the classes. Pass the softmax output.")
    return np.clip(given, 0.0, 1.0)


def _columns_and_prior(probabilities: ArrayLike, prior: ArrayLike) -> tuple[Array, Array]:
    columns = as_probabilities(probabilities)
    if columns.ndim != 2:
        raise DataError("A shift of shares needs probabilities (N, K). Pass one column per class.")
    return columns, _shares(prior, columns.shape[1])


def _shares(prior: ArrayLike, n_classes: int) -> Array:
    shares = np.asarray(prior, np.float64)
    if shares.shape != (n_classes,) or not (shares > 0).all() or abs(shares.sum() - 1) > ROUNDING:
        raise DataError(f"A prior needs {n_classes} shares above 0 that sum to 1. Give one fraction per class.")
    return shares / float(shares.sum())
