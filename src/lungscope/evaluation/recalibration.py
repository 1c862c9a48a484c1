"""Calibration slope and intercepts with intervals that hold for several images per patient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, stdtrit

from lungscope.errors import UndefinedEstimate
from lungscope.stats.calibration import SATURATED, Recalibration, calibration_slope_intercept
from lungscope.stats.estimate import Array, Estimate
from lungscope.stats.patients import Patients, patient_index
from lungscope.stats.proportion import FEW_PATIENTS


@dataclass(frozen=True)
class RecalibrationEstimates:
    """`Recalibration` with 95 % intervals."""

    slope: Estimate
    intercept: Estimate
    in_the_large: Estimate


def recalibration_estimates(
    positive: NDArray[np.bool_], probabilities: Array, patients: Patients
) -> RecalibrationEstimates:
    """Slope and intercepts of the outcome on the predicted log-odds.

    The intervals are Student's with the variance of clustered scores (Liang & Zeger 1986): one fit instead of
    the thousand of a bootstrap, which they agree with on all but the smallest data. Degrees of freedom are
    the patients of the smaller class, less one.

    Args:
        positive: (N,), true where diseased.
        probabilities: (N,), of disease.
        patients: (N,), whose each row is.
    """
    try:
        fit = calibration_slope_intercept(positive, probabilities)
    except UndefinedEstimate as error:
        missing = Estimate(None, reason=str(error))
        return RecalibrationEstimates(missing, missing, missing)
    index = patient_index(patients)
    if len(np.unique(index)) < FEW_PATIENTS:
        reason = f"no interval: fewer than {FEW_PATIENTS} patients"
        values = (fit.slope, fit.intercept, fit.in_the_large)
        return RecalibrationEstimates(*(Estimate(value, reason=reason) for value in values))
    return _with_intervals(fit, positive.astype(np.float64), _log_odds(probabilities), index)


def _with_intervals(fit: Recalibration, outcome: Array, odds: Array, index: NDArray[np.intp]) -> RecalibrationEstimates:
    ones = np.ones((odds.size, 1))
    both = np.column_stack([ones, odds])
    degrees = min(np.unique(index[outcome == side]).size for side in (0, 1)) - 1
    intercept, slope = _deviations(both, outcome, fit.intercept + fit.slope * odds, index)
    (large,) = _deviations(ones, outcome, fit.in_the_large + odds, index)
    return RecalibrationEstimates(
        *(
            _student(value, error, degrees)
            for value, error in ((fit.slope, slope), (fit.intercept, intercept), (fit.in_the_large, large))
        )
    )


def _log_odds(probabilities: Array) -> Array:
    clipped = np.clip(probabilities, SATURATED, 1 - SATURATED)
    odds: Array = np.log(clipped) - np.log1p(-clipped)
    return odds


def _deviations(design: Array, outcome: Array, fitted: Array, index: NDArray[np.intp]) -> Array:
    """Standard errors (P,) of a logistic fit whose rows (N, P) cluster by patient."""
    expected = expit(fitted)
    information = (design * (expected * (1 - expected))[:, None]).T @ design
    scores = design * (outcome - expected)[:, None]
    sums = np.stack([np.bincount(index, weights=column) for column in scores.T])
    n_patients = sums.shape[1]
    inverse = np.linalg.inv(information)
    variance = inverse @ (sums @ sums.T) @ inverse * n_patients / (n_patients - 1)
    return np.sqrt(np.diag(variance))


def _student(value: float, error: float, degrees: int) -> Estimate:
    if degrees < 1:
        return Estimate(value, reason="no interval: a class has one patient only")
    half = float(stdtrit(degrees, 0.975)) * float(error)
    return Estimate(value, value - half, value + half)
