"""Everything that is measured of one model, or of scores without a model, on one set of labelled images."""

from dataclasses import dataclass

from lungscope.evaluation.calibration import CalibrationEffect
from lungscope.evaluation.decision_curve import DecisionCurve
from lungscope.evaluation.evaluate import Evaluation
from lungscope.evaluation.heatmaps.checks import HeatChecks
from lungscope.evaluation.input_check import InputCheckEstimates, SetEstimates
from lungscope.evaluation.prevalence import Adaptation
from lungscope.evaluation.shift import Shift
from lungscope.evaluation.skipped import Skipped
from lungscope.evaluation.strata import Robustness
from lungscope.evaluation.subgroups import Subgroups


@dataclass(frozen=True)
class Measurements:
    """An evaluation with its further measurements; None where one was not asked for or has nothing to measure."""

    evaluation: Evaluation
    shift: Shift | None = None
    """Against validation; None for validation itself and for models that keep nothing of it."""
    calibration: CalibrationEffect | None = None
    decision_curve: DecisionCurve | Skipped | None = None
    """None where no class is the reference."""
    subgroups: Subgroups | None = None
    """None for data without further columns."""
    adaptation: Adaptation | None = None
    input_check: InputCheckEstimates | None = None
    """None for models without an input check."""
    prediction_sets: tuple[SetEstimates, ...] = ()
    heatmaps: HeatChecks | None = None
    strata: Robustness | None = None
