"""Does acting on the model do more good than acting on everybody or nobody? (Vickers & Elkin 2006)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import UndefinedEstimate
from lungscope.reports import summary
from lungscope.reports.plots import decision_figure
from lungscope.reports.section import Plot, Section, Table
from lungscope.stats.bootstrap import RESAMPLES, bootstrap_weights
from lungscope.stats.columns import as_binary, numbers, same_rows
from lungscope.stats.metrics import Array, Estimate
from lungscope.stats.patients import Patients, patient_index
from lungscope.stats.proportion import FEW_PATIENTS

RISKS = np.arange(1, 100) / 100
COLUMNS = ("risks", "model", "low", "high", "everybody", "gain_low", "gain_high")
SHOWN = (0.05, 0.1, 0.2, 0.3, 0.5)


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
    positive: ArrayLike,
    probabilities: ArrayLike,
    patients: Patients,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> DecisionCurve:
    """Net benefit at every risk from 1 % to 99 %.

    Args:
        positive: (N,), true or 1 where diseased.
        probabilities: (N,), of disease.
        patients: (N,), whose each row is.
        resamples: number of draws of patients.
        seed: of the draws.

    Raises:
        UndefinedFigure: one class is empty, or a probability is not a number.
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
    if len(np.unique(patient_index(patients))) < FEW_PATIENTS:
        return DecisionCurve(RISKS, model, None, None, everybody, None, None)
    drawn, all_drawn = np.split(_drawn(columns.astype(np.float32), patients, resamples, seed), 2, axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    gain_low, gain_high = np.percentile(drawn - np.maximum(all_drawn, 0), (2.5, 97.5), axis=0)
    return DecisionCurve(RISKS, model, low, high, everybody, gain_low, gain_high)


def decision_section(curve: DecisionCurve | None, reason: str = "") -> Section:
    """The curve as a part of the report, or why there is none."""
    title = "Decision curve"
    if curve is None:
        return Section(title, f"There is no decision curve: {reason}.")
    return Section(
        title,
        f"{_verdict(curve)} Net benefit counts hits less false alarms, a false alarm at risk r weighing r / (1 − r) "
        "of a hit; the risk is the probability from which one would act.",
        tables=(_table(curve),),
        plots=(
            Plot(
                "Net benefit",
                decision_figure(curve.risks, curve.model, curve.low, curve.high, curve.everybody),
                "Acting on the model helps where its line is above both others: act on everybody, and on nobody.",
            ),
        ),
    )


def decision_json(curve: DecisionCurve | None, reason: str = "") -> dict[str, Any]:
    """The curve for `evaluation.json`."""
    if curve is None:
        return {"decision_curve": {"reason": reason}}
    columns = {name: getattr(curve, name) for name in COLUMNS}
    return {
        "decision_curve": {
            name: None if values is None else [round(float(value), 6) + 0.0 for value in values]
            for name, values in columns.items()
        }
    }


def _drawn(columns: NDArray[np.float32], patients: Patients, resamples: int, seed: int) -> Array:
    blocks = [
        (times.astype(np.float32) @ columns) / times.sum(axis=1, keepdims=True)
        for times in bootstrap_weights(patients, resamples=resamples, seed=seed)
    ]
    found: Array = np.concatenate(blocks).astype(np.float64)
    return found


def _verdict(curve: DecisionCurve) -> str:
    if curve.gain_low is None:
        return "There are too few patients to tell where acting on the model helps."
    better = curve.risks[curve.gain_low > 0]
    if not better.size:
        return "At no risk does acting on the model clearly beat acting on everybody or on nobody."
    whole = better.size == round(100 * (better.max() - better.min())) + 1
    return (
        f"Acting on the model beats acting on everybody and on nobody at risks from {better.min():.0%} to "
        f"{better.max():.0%}{'' if whole else ', not all of them'}."
    )


def _table(curve: DecisionCurve) -> Table:
    rows: list[tuple[str | summary.Cell, ...]] = []
    for risk in SHOWN:
        i = int(np.flatnonzero(np.isclose(curve.risks, risk))[0])
        cells = (
            _cell(curve.model, curve.low, curve.high, i),
            _cell(curve.gain, curve.gain_low, curve.gain_high, i),
        )
        rows.append((f"{risk:.0%}", *cells, summary.decimal(curve.everybody[i])))
    return Table(
        "Net benefit by risk",
        ("Risk", "Model", "More than the better of the others", "Everybody"),
        tuple(rows),
        "In true positives per case; nobody has 0.",
    )


def _cell(values: Array, low: Array | None, high: Array | None, i: int) -> summary.Cell:
    if low is None or high is None:
        return summary.cell(
            Estimate(float(values[i]), reason="too few patients for an interval"), summary.decimal
        )
    return summary.cell(Estimate(float(values[i]), float(low[i]), float(high[i])), summary.decimal)
