"""Predictive values at a prevalence, with intervals. NumPy only: a prediction may print them."""

import math

from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import predictive_values


def predictive_estimates(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> tuple[Estimate, Estimate]:
    """PPV and NPV at a prevalence, by Bayes' rule, with 95 % intervals.

    The log odds of either are a sum of two logarithms, one of each proportion; the intervals of both are
    combined there (MOVER, Zou & Donner 2008).

    Args:
        sensitivity: with its interval.
        specificity: with its interval, of other cases.
        prevalence: share of diseased where the model is used, between 0 and 1, else `ConfigError`.
    """
    values = predictive_values(sensitivity.value or 0.0, specificity.value or 0.0, prevalence)
    missing = sensitivity if sensitivity.value is None else specificity
    if missing.value is None:
        return (Estimate(None, reason=missing.reason),) * 2
    ppv = _combined(float(values[0]), sensitivity, _complement(specificity), prevalence)
    return ppv, _combined(float(values[1]), specificity, _complement(sensitivity), 1 - prevalence)


def _combined(value: float, right: Estimate, wrong: Estimate, share: float) -> Estimate:
    """Interval of right · share / (right · share + wrong · (1 - share))."""
    if math.isnan(value):
        return Estimate(None, reason="no case would be called so")
    if right.low is None or right.high is None or wrong.low is None or wrong.high is None:
        return Estimate(value, reason="no interval: one of the proportions has none")
    prior = math.log(share / (1 - share))
    if not right.value or not wrong.value:  # 0 and 1 are at the end of the logarithm's scale
        low, high = _log(right.low) - _log(wrong.high), _log(right.high) - _log(wrong.low)
    else:
        middle = math.log(right.value) - math.log(wrong.value)
        low = middle - math.hypot(math.log(right.value) - _log(right.low), _log(wrong.high) - math.log(wrong.value))
        high = middle + math.hypot(_log(right.high) - math.log(right.value), math.log(wrong.value) - _log(wrong.low))
    return Estimate(value, min(_share(prior + low), value), max(_share(prior + high), value))


def _complement(estimate: Estimate) -> Estimate:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return Estimate(None if estimate.value is None else 1 - estimate.value, reason=estimate.reason)
    return Estimate(1 - estimate.value, 1 - estimate.high, 1 - estimate.low)


def _log(share: float) -> float:
    return math.log(max(share, 1e-300))


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))
