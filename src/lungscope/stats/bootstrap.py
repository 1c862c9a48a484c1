"""Intervals by drawing patients with replacement (Efron 1979, Field & Welsh 2007)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import UndefinedFigure
from lungscope.stats.metrics import Array, Counts, Figure, Ratio, Weights, as_binary, count, same_rows
from lungscope.stats.patients import Patients, patient_index
from lungscope.stats.proportion import FEW_PATIENTS, proportion

RESAMPLES = 1000
BLOCK = 2_000_000
"""Weights held at a time, so that 100,000 rows need no more memory than 1,000."""
UNDEFINED_SHARE = 0.1
"""Share of resamples that may lack a class before the interval is withheld."""

Metric = Callable[[Weights | None], Ratio]
"""A figure of fixed data: a number for None, an array (b,) for weights (b, N)."""


@dataclass(frozen=True)
class CountFigures:
    """The figures of one set of calls, each with its interval."""

    counts: Counts
    sensitivity: Figure
    specificity: Figure
    ppv: Figure
    npv: Figure
    f1: Figure
    accuracy: Figure
    balanced_accuracy: Figure


def bootstrap_weights(
    patients: Patients, *, resamples: int = RESAMPLES, seed: int = 0
) -> Iterator[NDArray[np.uint16]]:
    """Draw as many patients as there are, with replacement, again and again.

    Args:
        patients: (N,), whose each row is.
        resamples: how many draws, B.
        seed: the same seed gives the same draws.

    Yields:
        Blocks (b, N), together B rows: how often each row counts. All rows of a patient count alike.
    """
    index = patient_index(patients)
    n_patients = int(index.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK // max(index.size, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.integers(n_patients, size=(size, n_patients)) + np.arange(size)[:, None] * n_patients
        times = np.bincount(drawn.ravel(), minlength=size * n_patients).astype(np.uint16)
        yield times.reshape(size, n_patients)[:, index]


def interval(values: ArrayLike) -> tuple[float, float]:
    """Percentile 95 % interval of a figure's resamples, leaving out undefined ones.

    Args:
        values: (B,), NaN where undefined.

    Raises:
        UndefinedFigure: more than a tenth of the resamples are undefined.
    """
    drawn = np.asarray(values, np.float64)
    defined = drawn[~np.isnan(drawn)]
    if defined.size == 0 or defined.size < (1 - UNDEFINED_SHARE) * drawn.size:
        missing = drawn.size - defined.size
        raise UndefinedFigure(
            f"{missing} of {drawn.size} resamples lack a class: too few patients for an interval"
        )
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)


def figure(metric: Metric, patients: Patients, *, resamples: int = RESAMPLES, seed: int = 0) -> Figure:
    """One metric as a Figure; see `figures`."""
    return figures([metric], patients, resamples=resamples, seed=seed)[0]


def figures(
    metrics: Sequence[Metric], patients: Patients, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Figure, ...]:
    """Turn metrics into Figures with 95 % intervals, all from the same draws of patients.

    Resampling inflates figures that cannot be negative, such as the calibration error; where the
    interval would miss the value itself it is widened to it.

    Args:
        metrics: e.g. `lambda weights: auroc(positive, scores, weights)`.
        patients: (N,), whose each row of the metrics' data is.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        One Figure per metric. An undefined value or interval is None, with the reason.
    """
    values = [_value(metric) for metric in metrics]
    if len(np.unique(patient_index(patients))) < FEW_PATIENTS:
        return tuple(_without_interval(value, f"fewer than {FEW_PATIENTS} patients") for value in values)
    draws: list[list[Ratio]] = [[] for _ in metrics]
    for weights in bootstrap_weights(patients, resamples=resamples, seed=seed):
        for metric, value, drawn in zip(metrics, values, draws, strict=True):
            if value.value is not None:
                drawn.append(metric(weights))
    return tuple(_with_interval(value, drawn) for value, drawn in zip(values, draws, strict=True))


def count_figures(
    positive: ArrayLike,
    predicted: ArrayLike,
    patients: Patients,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> CountFigures:
    """Everything that follows from calls against the truth.

    Proportions carry Wilson intervals adjusted for patients, F1 and balanced accuracy bootstrap ones.

    Args:
        positive: (N,), true or 1 where diseased.
        predicted: (N,), true or 1 where called positive.
        patients: (N,).
        resamples: number of draws.
        seed: of the draws.

    Raises:
        DataError: the columns differ in length or are not 0 or 1.
    """
    counts = count(positive, predicted)
    truth, called, names = as_binary(positive), as_binary(predicted), np.asarray(patients)
    same_rows(truth, names)
    f1, balanced = figures(
        [lambda w: count(truth, called, w).f1, lambda w: count(truth, called, w).balanced_accuracy],
        names, resamples=resamples, seed=seed,
    )  # fmt: skip
    return CountFigures(
        counts=counts,
        sensitivity=proportion(called[truth], names[truth], empty="no positive case"),
        specificity=proportion(~called[~truth], names[~truth], empty="no negative case"),
        ppv=proportion(truth[called], names[called], empty="no case was called positive"),
        npv=proportion(~truth[~called], names[~called], empty="no case was called negative"),
        f1=_explained(f1, "no case is positive or was called so"),
        accuracy=proportion(truth == called, names, empty="no case"),
        balanced_accuracy=_explained(balanced, f"no {'negative' if truth.any() else 'positive'} case"),
    )


def _value(metric: Metric) -> Figure:
    try:
        value = float(metric(None))
    except UndefinedFigure as error:
        return Figure(None, reason=str(error))
    return Figure(None, reason="undefined for these data") if np.isnan(value) else Figure(value)


def _with_interval(value: Figure, drawn: list[Ratio]) -> Figure:
    if value.value is None:
        return value
    resampled: Array = np.concatenate([np.atleast_1d(block) for block in drawn])
    try:
        low, high = interval(resampled)
    except UndefinedFigure as error:
        return _without_interval(value, str(error))
    if low == high:
        # A perfect or a constant score: [1, 1] would claim certainty that the data do not give.
        return _without_interval(value, "all resamples agree, so the spread is unknown")
    return Figure(value.value, min(low, value.value), max(high, value.value))


def _without_interval(value: Figure, reason: str) -> Figure:
    return value if value.value is None else replace(value, reason=f"no interval: {reason}")


def _explained(value: Figure, reason: str) -> Figure:
    return replace(value, reason=reason) if value.value is None else value
