"""Statistics of labels, scores and probabilities: estimates with intervals, tests, calibration, operating points.

`labels` are (N,), true or 1 where diseased, or class indices; `scores` (N,); `probabilities` (N,) of the diseased
or (N, K); `patients` (N,), whose each row is. A function is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lungscope.stats.calibration import (
        brier,
        calibration_slope_intercept,
        expected_calibration_error,
        fit_platt,
        fit_temperature,
        reliability_curve,
    )
    from lungscope.stats.comparison import auroc_estimate, delong, holm, mcnemar
    from lungscope.stats.estimate import Estimate
    from lungscope.stats.metrics import (
        auroc,
        average_precision,
        confusion_matrix,
        macro_auroc,
        precision_recall_curve,
        roc_curve,
    )
    from lungscope.stats.operating_points import operating_point, predictive_values
    from lungscope.stats.prior_correction import em_prior, shift_prior
    from lungscope.stats.proportion import wilson
    from lungscope.stats.resampling import bootstrap, count_estimates

__all__ = [
    "Estimate", "auroc", "auroc_estimate", "average_precision", "bootstrap", "brier",
    "calibration_slope_intercept", "confusion_matrix", "count_estimates", "delong", "em_prior",
    "expected_calibration_error", "fit_platt", "fit_temperature", "holm", "macro_auroc", "mcnemar",
    "operating_point", "precision_recall_curve", "predictive_values", "reliability_curve", "roc_curve",
    "shift_prior", "wilson",
]  # fmt: skip
_MODULES = (
    "estimate", "metrics", "proportion", "operating_points", "prior_correction", "calibration", "comparison",
    "resampling",
)  # fmt: skip
"""Where to look for a name, those that load SciPy last."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = (import_module(f"{__name__}.{each}") for each in _MODULES)
    found = globals()[name] = next(getattr(module, name) for module in modules if hasattr(module, name))
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
