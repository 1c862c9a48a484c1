"""Is the leader really ahead? Paired tests of two methods on the same cases, over several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from lungscope.errors import UndefinedEstimate
from lungscope.evaluation.cases import Cases, mean
from lungscope.stats.comparison import delong, holm, mcnemar, twice_median
from lungscope.stats.estimate import Array, Estimate
from lungscope.stats.patients import count_patients
from lungscope.stats.proportion import FEW_PATIENTS
from lungscope.stats.resampling import Metric, bootstrap_weights, estimates

LEVEL = 0.05


@dataclass(frozen=True)
class Test:
    """A p-value against the leader, or the reason why there is none."""

    p_value: float | None
    """Two-sided, over all seeds."""
    corrected: float | None = None
    """By Holm, for all methods that were tested."""
    reason: str = ""


@dataclass(frozen=True)
class PairedDifference:
    """How a method stands to the leader."""

    auroc_difference: Estimate
    """Of the leader minus this."""
    accuracy_difference: float
    auroc: Test
    """DeLong's test; with more than two classes by drawing patients."""
    accuracy: Test
    """McNemar's test."""
    in_every_seed: bool
    """Whether the leader has the higher AUROC with each seed."""

    @property
    def significant(self) -> bool:
        """Whether the AUROC differs beyond chance after correction, in the same direction with every seed."""
        return self.auroc.corrected is not None and self.auroc.corrected < LEVEL and self.in_every_seed


def auroc_metric(cases: Cases) -> Metric:
    """AUROC of the second class of two, else the mean over the classes, each against all others."""
    areas = cases.areas()
    return areas[1] if len(areas) == 2 else mean(areas)


def paired_difference(leader: Sequence[Cases], other: Sequence[Cases], resamples: int) -> PairedDifference:
    """Test a method against the leader, not yet corrected.

    Args:
        leader: its cases, once per seed.
        other: the same cases as another method sees them.
        resamples: number of draws of patients.
    """
    names, pairs = leader[0].patients, list(zip(leader, other, strict=False))
    gap = _minus(*(mean([auroc_metric(each) for each in side]) for side in (leader, other)))
    difference = estimates([gap], names, resamples=resamples, shares=False)[0]
    right = [(a.decided == a.labels, b.decided == b.labels) for a, b in pairs]
    tests = [mcnemar(a, b, names) for a, b in right]
    ahead = difference.value is not None and all(
        float(_minus(auroc_metric(a), auroc_metric(b))(None)) > 0 for a, b in pairs
    )
    return PairedDifference(
        auroc_difference=difference,
        accuracy_difference=float(np.mean([test.difference for test in tests])),
        auroc=_auroc_test(pairs, resamples),
        accuracy=Test(twice_median([test.p_value for test in tests])),
        in_every_seed=ahead,
    )


def _minus(a: Metric, b: Metric) -> Metric:
    return lambda weights: a(weights) - b(weights)


def _auroc_test(pairs: Sequence[tuple[Cases, Cases]], resamples: int) -> Test:
    try:
        return Test(twice_median([_auroc_p(a, b, resamples) for a, b in pairs]))
    except UndefinedEstimate as error:
        return Test(None, reason=str(error))


def _auroc_p(a: Cases, b: Cases, resamples: int) -> float:
    """Two-sided p-value of equal AUROCs; with more than two classes by the spread over draws of patients."""
    if len(a.classes) == 2:
        return delong(a.diseased, a.p_abnormal, b.p_abnormal, a.patients).p_value
    gap = _minus(auroc_metric(a), auroc_metric(b))
    difference = float(gap(None))
    if count_patients(a.patients) < FEW_PATIENTS:
        raise UndefinedEstimate(f"fewer than {FEW_PATIENTS} patients")
    draws = bootstrap_weights(a.patients, resamples=resamples)
    error = float(np.nanstd(np.concatenate([np.atleast_1d(gap(weights)) for weights in draws]), ddof=1))
    if error == 0:
        if difference:
            raise UndefinedEstimate("the two AUROCs differ but neither varies over these cases")
        return 1.0
    return 2 * float(ndtr(-abs(difference) / error))


def correct(found: Sequence[PairedDifference]) -> list[PairedDifference]:
    """Holm's correction, for the AUROCs and for the accuracies, of the tests that are defined."""
    auroc, accuracy = ([getattr(each, name) for each in found] for name in ("auroc", "accuracy"))
    return [
        replace(each, auroc=first, accuracy=second)
        for each, first, second in zip(found, _corrected(auroc), _corrected(accuracy), strict=True)
    ]


def _corrected(tests: Sequence[Test]) -> list[Test]:
    adjusted: Array = holm([test.p_value for test in tests if test.p_value is not None])
    values = iter(adjusted.tolist())
    return [test if test.p_value is None else replace(test, corrected=next(values)) for test in tests]
