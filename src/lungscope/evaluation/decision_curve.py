"""Does acting on the model do more good than acting on everybody or nobody? (Vickers & Elkin 2006)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import UndefinedEstimate
from lungscope.evaluation.cases import Cases
from lungscope.evaluation.skipped import Skipped
from lungscope.stats.columns import as_binary, numbers, same_rows
from lungscope.stats.estimate import Array
from lungscope.stats.patients import Patients, count_patients
from lungscope.stats.proportion import FEW_PATIENTS
from lungscope.stats.resampling import RESAMPLES, bootstrap_weights

RISKS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit of calling those positive whose probability reaches a risk; in true positives per case.

    At risk r a false alarm costs r / (1 - r) of what a hit gains.
    """

    risks: Array
    """(R,)."""
    model: Array
    """(R,)."""
    low: Array | None
    high: Array | None
    """(R,), pointwise 95 % interval by drawing patients; None with fewer than ten."""
    everybody: Array
    """(R,), of calling every case positive; calling nobody has 0."""
    gain_low: Array | None
    gain_high: Array | None
    """(R,), interval of the model's net benefit less that of the better of everybody and nobody."""

    @property
    def gain(self) -> Array:
        """(R,), over the better of everybody and nobody."""
        found: Array = self.model - np.maximum(self.everybody, 0)
        return found


def decision_curve(
    positive: ArrayLike, probabilities: ArrayLike, patients: Patients, *, resamples: int = RESAMPLES, seed: int = 0
) -> DecisionCurve:
    """Net benefit at every risk from 1 % to 99 %.

    Args:
        positive: (N,), true or 1 where diseased.
        probabilities: (N,), of disease.
        patients: (N,), whose each row is.
        resamples: number of draws of patients.
        seed: of the draws.

    Raises:
        UndefinedEstimate: one class is empty, or a probability is not a number.
    """
    truth, scores = as_binary(positive), numbers(probabilities, "probabilities")
    same_rows(truth, scores)
    if truth.all() or not truth.any():
        raise UndefinedEstimate(f"no {'negative' if truth.any() else 'positive'} case among {len(truth)}")
    harm = RISKS / (1 - RISKS)
    benefits = np.where(truth[:, None], 1.0, -harm)
    called = scores.astype(np.float32)[:, None] >= RISKS.astype(np.float32)
    columns = np.concatenate([benefits * called, benefits], axis=1)
    model, everybody = np.split(columns.mean(axis=0), 2)
    if count_patients(patients) < FEW_PATIENTS:
        return DecisionCurve(RISKS, model, None, None, everybody, None, None)
    drawn, all_drawn = np.split(_drawn(columns.astype(np.float32), patients, resamples, seed), 2, axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    gain_low, gain_high = np.percentile(drawn - np.maximum(all_drawn, 0), (2.5, 97.5), axis=0)
    return DecisionCurve(RISKS, model, low, high, everybody, gain_low, gain_high)


def decisions(cases: Cases) -> DecisionCurve | Skipped:
    """The curve of p_abnormal, or why there is none."""
    try:
        return decision_curve(cases.diseased, cases.p_abnormal, cases.patients)
    except UndefinedEstimate as error:
        return Skipped(str(error))


def _drawn(columns: NDArray[np.float32], patients: Patients, resamples: int, seed: int) -> Array:
    blocks = [
        (times.astype(np.float32) @ columns) / times.sum(axis=1, keepdims=True)
        for times in bootstrap_weights(patients, resamples=resamples, seed=seed)
    ]
    found: Array = np.concatenate(blocks).astype(np.float64)
    return found
