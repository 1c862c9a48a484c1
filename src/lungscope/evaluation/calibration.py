"""Whether probabilities come true, before the model's calibration and after it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Calibration
from lungscope.evaluation.cases import Cases, check_cases
from lungscope.evaluation.evaluate import NO_REFERENCE, estimate_json
from lungscope.evaluation.recalibration import RecalibrationEstimates, recalibration_estimates
from lungscope.reports import summary
from lungscope.reports.plots import reliability_figure
from lungscope.reports.section import Plot, Section, Table
from lungscope.stats.bootstrap import RESAMPLES, Metric, estimates
from lungscope.stats.calibration import ReliabilityCurve, reliability_curve
from lungscope.stats.metrics import Estimate, Ratio, Weights
from lungscope.stats.patients import Patients

METHODS = {
    "none": "none: the network's own probabilities",
    "temperature": "temperature scaling",
    "platt": "Platt scaling",
}
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


def measure_calibration(
    name: str, cases: Cases, *, referenced: bool = True, resamples: int = RESAMPLES, seed: int = 0
) -> CalibrationEstimates:
    """Measure probabilities against what came true.

    Args:
        name: of these probabilities, for a heading.
        cases: labels, probabilities, patients.
        referenced: whether the first class is one that others are told from.
        resamples: number of draws of patients.
        seed: of the draws.
    """
    ece, brier = estimates([cases.ece(), cases.brier()], cases.patients, resamples=resamples, seed=seed)
    (loss,) = estimates([_log_loss(cases)], cases.patients, resamples=resamples, seed=seed, shares=False)
    if referenced:
        fit = recalibration_estimates(cases.diseased, cases.p_abnormal, cases.patients)
        curve = reliability_curve(cases.diseased, cases.p_abnormal)
    else:
        fit = RecalibrationEstimates(NO_REFERENCE, NO_REFERENCE, NO_REFERENCE)
        curve = reliability_curve(cases.labels, cases.probabilities)
    return CalibrationEstimates(name, ece, brier, loss, fit, curve)


def calibration_effect(
    labels: NDArray[np.int64],
    logits: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    patients: Patients,
    classes: Sequence[str],
    calibration: Calibration,
    *,
    referenced: bool = True,
) -> CalibrationEffect:
    """Measure the probabilities with and without the calibration of a bundle.

    Args:
        labels: (N,), class indices.
        logits: (N, K), of the network.
        probabilities: (N, K), as the bundle gives them.
        patients: (N,), whose each row is.
        classes: K names; the first is the reference.
        calibration: of the bundle.
        referenced: whether it is.
    """
    steep = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    raw = steep / steep.sum(axis=1, keepdims=True)
    before, after = (
        measure_calibration(name, check_cases(labels, columns, patients, classes), referenced=referenced)
        for name, columns in (("Before", raw), ("After", probabilities))
    )
    return CalibrationEffect(calibration, before, after)


def calibration_section(effect: CalibrationEffect) -> Section:
    """The effect as a part of the report."""
    calibration = effect.calibration
    reason = f" Chosen: {calibration.reason}." if calibration.candidates else ""
    method = METHODS.get(calibration.method, calibration.method)
    fitted = (
        f"corrected by {method} (scale {calibration.scale:.3f}{_shifts(calibration)}), fitted on validation"
    )
    done = "left as they are" if calibration.method == "none" else fitted
    return Section(
        title="Calibration, before and after",
        lead=f"The network's probabilities were {done}.{reason}",
        tables=(estimates_table((effect.before, effect.after)), *_tried(calibration)),
        plots=tuple(
            Plot(
                f"Reliability {each.name.lower()}",
                reliability_figure(each.reliability, f"reliability-{each.name.lower()}"),
                f"{each.name} calibration. On the dashed line a probability of 80% comes true eight times in ten.",
            )
            for each in (effect.before, effect.after)
        ),
    )


def estimates_table(columns: Sequence[CalibrationEstimates], caption: str = "Calibration") -> Table:
    """Probabilities of several kinds beside each other."""
    return Table(
        caption,
        ("Figure", *(each.name for each in columns)),
        tuple(
            (name, *(summary.cell(each.estimate(key), summary.decimal) for each in columns))
            for name, key in ROWS
        ),
        "Errors and losses: lower is better.",
    )


def calibration_json(effect: CalibrationEffect) -> dict[str, Any]:
    """The effect for `evaluation.json`."""
    return {
        "calibration": {
            **asdict(effect.calibration),
            "before": estimates_json(effect.before),
            "after": estimates_json(effect.after),
        }
    }


def estimates_json(found: CalibrationEstimates) -> dict[str, Any]:
    """Figures and the reliability diagram's data."""
    curve = found.reliability
    columns = {name: getattr(curve, name) for name in ("predicted", "observed", "low", "high")}
    return {
        **{key: estimate_json(found.estimate(key)) for _, key in ROWS},
        "reliability": {
            **{name: [round(float(value), 6) for value in values] for name, values in columns.items()},
            "count": curve.count.tolist(),
        },
    }


def _log_loss(cases: Cases) -> Metric:
    own = cases.probabilities[np.arange(len(cases.labels)), cases.labels]
    losses = -np.log(np.maximum(own, 1e-7))

    def value(weights: Weights | None) -> Ratio:
        if weights is None:
            return float(losses.mean())
        found: Ratio = weights @ losses.astype(weights.dtype) / weights.sum(-1)
        return found

    return value


def _shifts(calibration: Calibration) -> str:
    if not any(calibration.shift):
        return ""
    return f", shift {', '.join(summary.decimal(value) for value in calibration.shift[1:])}"


def _tried(calibration: Calibration) -> tuple[Table, ...]:
    if not calibration.candidates:
        return ()
    rows = tuple(
        (
            METHODS[each.method],
            f"{each.log_loss:.4f}",
            "best" if each.behind == 0 else f"+{each.behind:.4f} ± {each.error:.4f}",
        )
        for each in calibration.candidates
    )
    return (
        Table(
            "Methods tried on validation",
            ("Method", "Log loss", "Behind the best"),
            rows,
            "Cross-validated over patients; the simplest within one standard error of the best is taken.",
        ),
    )
