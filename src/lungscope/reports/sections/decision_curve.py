"""Whether acting on the model does more good than acting on everybody or nobody."""

import numpy as np

from lungscope.evaluation.decision_curve import DecisionCurve
from lungscope.evaluation.skipped import Skipped
from lungscope.reports import summary
from lungscope.reports.plots import decision_plot
from lungscope.reports.section import Plot, Section, SectionKey, Table
from lungscope.stats.estimate import Array, Estimate

SHOWN = (0.05, 0.1, 0.2, 0.3, 0.5)


def decision_section(curve: DecisionCurve | Skipped) -> Section:
    """The curve, or why there is none."""
    key, title = SectionKey.DECISION_CURVE, "Decision curve"
    if isinstance(curve, Skipped):
        return Section(key, title, f"There is no decision curve: {curve.reason}.")
    return Section(
        key,
        title,
        f"{_verdict(curve)} Net benefit counts hits less false alarms, a false alarm at risk r weighing r / (1 − r) "
        "of a hit; the risk is the probability from which one would act.",
        tables=(_table(curve),),
        plots=(
            Plot(
                "Net benefit",
                decision_plot(curve),
                "Acting on the model helps where its line is above both others: act on everybody, and on nobody.",
            ),
        ),
    )


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
    rows = []
    for risk in SHOWN:
        i = int(np.flatnonzero(np.isclose(curve.risks, risk))[0])
        cells = (_cell(curve.model, curve.low, curve.high, i), _cell(curve.gain, curve.gain_low, curve.gain_high, i))
        rows.append((f"{risk:.0%}", *cells, summary.decimal(curve.everybody[i])))
    return Table(
        "Net benefit by risk",
        ("Risk", "Model", "More than the better of the others", "Everybody"),
        tuple(rows),
        "In true positives per case; nobody has 0.",
    )


def _cell(values: Array, low: Array | None, high: Array | None, i: int) -> summary.Cell:
    if low is None or high is None:
        return summary.cell(Estimate(float(values[i]), reason="too few patients for an interval"), summary.decimal)
    return summary.cell(Estimate(float(values[i]), float(low[i]), float(high[i])), summary.decimal)
