"""Whether probabilities come true, before the model's calibration and after it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.card import Calibration
from lungscope.evaluation.cases import Cases
from lungscope.evaluation.evaluate import recalibrated
from lungscope.evaluation.recalibration import RecalibrationEstimates
from lungscope.stats.calibration import ReliabilityCurve, reliability_curve
from lungscope.stats.estimate import Estimate, Ratio
from lungscope.stats.metrics import Weights
from lungscope.stats.resampling import RESAMPLES, Metric, estimates

ROWS = (
    ("Calibration error (ECE)", "ece"),
    ("Brier score", "brier"),
    ("Log loss", "log_loss"),
    ("Slope (1 is ideal)", "slope"),
    ("Intercept (0 is ideal)", "intercept"),
    ("In the large (0 is ideal)", "in_the_large"),
)


@dataclass(frozen=True)
class CalibrationEstimates:
    """Everything about the probabilities of one kind."""

    name: str
    ece: Estimate
    brier: Estimate
    log_loss: Estimate
    recalibration: RecalibrationEstimates
    reliability: ReliabilityCurve
    """Of p_abnormal; of the class predicted where no class is the reference."""

    def estimate(self, key: str) -> Estimate:
        """One of `ROWS`."""
        owner = self if key in ("ece", "brier", "log_loss") else self.recalibration
        found: Estimate = getattr(owner, key)
        return found


@dataclass(frozen=True)
class CalibrationEffect:
    """What the calibration of a bundle does on these data."""

    calibration: Calibration
    before: CalibrationEstimates
    """Of softmax(logits)."""
    after: CalibrationEstimates


def measure_calibration(name: str, cases: Cases, *, resamples: int = RESAMPLES, seed: int = 0) -> CalibrationEstimates:
    """Measure probabilities against what came true.

    Args:
        name: of these probabilities, for a heading.
        cases: labels, probabilities, patients.
        resamples: number of draws of patients.
        seed: of the draws.
    """
    ece, brier = estimates([cases.ece(), cases.brier()], cases.patients, resamples=resamples, seed=seed)
    (loss,) = estimates([_log_loss(cases)], cases.patients, resamples=resamples, seed=seed, shares=False)
    curve = (
        reliability_curve(cases.diseased, cases.p_abnormal)
        if cases.has_reference
        else reliability_curve(cases.labels, cases.probabilities)
    )
    return CalibrationEstimates(name, ece, brier, loss, recalibrated(cases), curve)


def calibration_effect(cases: Cases, logits: NDArray[np.float32], calibration: Calibration) -> CalibrationEffect:
    """Measure the probabilities with and without the calibration of a bundle.

    Args:
        cases: with the probabilities that the bundle gives.
        logits: (N, K), of the network.
        calibration: of the bundle.
    """
    steep = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    raw = steep / steep.sum(axis=1, keepdims=True)
    before = measure_calibration("Before", replace(cases, probabilities=raw))
    return CalibrationEffect(calibration, before, measure_calibration("After", cases))


def _log_loss(cases: Cases) -> Metric:
    own = cases.probabilities[np.arange(len(cases.labels)), cases.labels]
    losses = -np.log(np.maximum(own, 1e-7))

    def value(weights: Weights | None) -> Ratio:
        if weights is None:
            return float(losses.mean())
        found: Ratio = weights @ losses.astype(weights.dtype) / weights.sum(-1)
        return found

    return value
