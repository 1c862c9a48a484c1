"""Intervals by drawing patients with replacement (Efron 1979, Field & Welsh 2007).

Metrics from 0 to 1 get a Student interval on the log-odds scale with the standard error of the draws: near 0 and
1 the plain percentiles miss the truth up to one time in eight. `benchmarks/coverage.py` measures both.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, stdtrit

from lungscope.errors import ConfigError, UndefinedEstimate
from lungscope.stats.columns import as_binary, same_rows
from lungscope.stats.estimate import Array, Estimate, Ratio
from lungscope.stats.metrics import Counts, Weights, count
from lungscope.stats.patients import Patients, count_patients, index_of_rows, patient_index
from lungscope.stats.proportion import FEW_PATIENTS, proportion

RESAMPLES = 1000
BLOCK = 400_000
"""Weights held at a time: few enough for the processor's cache, whatever the number of rows."""
UNDEFINED_SHARE = 0.1
"""Share of resamples that may lack a class before the interval is withheld."""

Metric = Callable[[Weights | None], Ratio]
"""A metric of fixed data: a number for None, an array (b,) for weights (b, N)."""
RowMetric = Callable[[NDArray[Any], NDArray[Any]], float]
"""A metric of labels (N,) and scores (N,) or (N, K)."""


@dataclass(frozen=True)
class CountEstimates:
    """What follows from one set of calls, each with its interval."""

    counts: Counts
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    f1: Estimate
    accuracy: Estimate
    balanced_accuracy: Estimate


def bootstrap_weights(patients: Patients, *, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[NDArray[np.uint16]]:
    """Draw as many patients as there are, with replacement, again and again.

    Args:
        patients: (N,), whose each row is.
        resamples: how many draws, B.
        seed: the same seed gives the same draws.

    Yields:
        Blocks (b, N), together B rows: how often each row counts. All rows of a patient count alike.
    """
    index, n_patients = patient_index(patients), count_patients(patients)
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK // max(index.size, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.integers(n_patients, size=(size, n_patients)) + np.arange(size)[:, None] * n_patients
        times = np.bincount(drawn.ravel(), minlength=size * n_patients).astype(np.uint16)
        yield times.reshape(size, n_patients)[:, index]


def interval(values: ArrayLike) -> tuple[float, float]:
    """Percentile 95 % interval of a metric's resamples, leaving out undefined ones.

    Args:
        values: (B,), NaN where undefined.

    Raises:
        UndefinedEstimate: more than a tenth of the resamples are undefined.
    """
    drawn = np.asarray(values, np.float64)
    defined = drawn[~np.isnan(drawn)]
    if defined.size == 0 or defined.size < (1 - UNDEFINED_SHARE) * drawn.size:
        missing = drawn.size - defined.size
        raise UndefinedEstimate(f"{missing} of {drawn.size} resamples lack a class: too few patients for an interval")
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)


def share_interval(share: float, error: float, degrees: float) -> tuple[float, float]:
    """95 % Student interval of a value between 0 and 1, on the log-odds scale, which keeps it there.

    Args:
        share: the value, above 0 and below 1.
        error: its standard error.
        degrees: of freedom; patients behind the error, less one.
    """
    half = float(stdtrit(degrees, 0.975)) * error / (share * (1 - share))
    return float(expit(logit(share) - half)), float(expit(logit(share) + half))


def estimate(
    metric: Metric, patients: Patients, *, resamples: int = RESAMPLES, seed: int = 0, shares: bool = True
) -> Estimate:
    """One metric with its interval; see `estimates`."""
    return estimates([metric], patients, resamples=resamples, seed=seed, shares=shares)[0]


def estimates(
    metrics: Sequence[Metric], patients: Patients, *, resamples: int = RESAMPLES, seed: int = 0, shares: bool = True
) -> tuple[Estimate, ...]:
    """Metrics with their 95 % intervals, all from the same draws of patients.

    Args:
        metrics: e.g. `lambda weights: auroc(positive, scores, weights)`.
        patients: (N,), whose each row of the metrics' data is.
        resamples: number of draws.
        seed: of the draws.
        shares: whether the metrics lie between 0 and 1; differences do not, and get percentile intervals.

    Returns:
        One per metric. An undefined value or interval is None, with the reason.
    """
    values = [_value(metric) for metric in metrics]
    n_patients = count_patients(patients)
    if n_patients < FEW_PATIENTS:
        return tuple(_without_interval(value, f"fewer than {FEW_PATIENTS} patients") for value in values)
    draws: list[list[Ratio]] = [[] for _ in metrics]
    for times in bootstrap_weights(patients, resamples=resamples, seed=seed):
        weights = times.astype(np.float32)  # whole numbers stay exact up to 16 million, and sums are fast
        for metric, value, drawn in zip(metrics, values, draws, strict=True):
            if value.value is not None:
                drawn.append(metric(weights))
    degrees = n_patients - 1 if shares else None
    return tuple(_with_interval(value, drawn, degrees) for value, drawn in zip(values, draws, strict=True))


def bootstrap(
    metric: RowMetric,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    patients: Patients | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    shares: bool = True,
) -> Estimate:
    """Any metric of labels and scores with its 95 % interval, by drawing patients with replacement.

    Args:
        metric: a function of labels and scores that returns one number, of this module or of any library.
        labels: (N,), as the metric takes them.
        scores: (N,) or (N, K), as the metric takes them.
        patients: (N,), whose each row is; without it all rows are independent.
        resamples: number of draws.
        seed: of the draws; the same seed gives the same interval.
        shares: whether the metric lies between 0 and 1; others get a percentile interval.

    Returns:
        The metric of all rows with its interval, or the reason why one of them is missing. Draws for which
        the metric is undefined, NaN or raises ValueError, such as those without a positive case, are left out.

    Raises:
        ConfigError: the metric is not a function.
        DataError: the columns differ in length.

    Example:
        >>> import lungscope as ls
        >>> labels = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
        >>> scores = [0.1, 0.2, 0.1, 0.3, 0.6, 0.2, 0.4, 0.5, 0.7, 0.8, 0.9, 0.3]
        >>> print(ls.stats.bootstrap(ls.stats.average_precision, labels, scores))
        0.885 (0.340 to 0.991)
    """
    if not callable(metric):
        raise ConfigError(f"The metric {metric!r} is not a function. Pass one of labels and scores, as ls.stats.auroc.")
    truth, given = np.asarray(labels), np.asarray(scores)
    same_rows(truth, given)
    owners = index_of_rows(patients, truth)
    return estimate(_by_rows(metric, truth, given), owners, resamples=resamples, seed=seed, shares=shares)


def count_estimates(
    positive: ArrayLike, predicted: ArrayLike, patients: Patients, *, resamples: int = RESAMPLES, seed: int = 0
) -> CountEstimates:
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
    names = np.asarray(patients)
    same_rows(as_binary(positive), names)
    f1, balanced = estimates(count_metrics(positive, predicted), names, resamples=resamples, seed=seed)
    return with_counts(positive, predicted, names, f1, balanced)


def count_metrics(positive: ArrayLike, predicted: ArrayLike) -> list[Metric]:
    """F1 and balanced accuracy of calls, which a bootstrap has to draw."""
    truth, called = as_binary(positive), as_binary(predicted)

    def metric(name: str, reason: str) -> Metric:
        def value(weights: Weights | None) -> Ratio:
            found: Ratio = getattr(count(truth, called, weights), name)
            if weights is None and np.isnan(found):
                raise UndefinedEstimate(reason)
            return found

        return value

    missing = f"no {'negative' if truth.any() else 'positive'} case"
    return [metric("f1", "no case is positive or was called so"), metric("balanced_accuracy", missing)]


def with_counts(
    positive: ArrayLike, predicted: ArrayLike, patients: Patients, f1: Estimate, balanced: Estimate
) -> CountEstimates:
    """Everything that follows from calls, with what `count_metrics` came to when drawn."""
    truth, called, names = as_binary(positive), as_binary(predicted), np.asarray(patients)
    return CountEstimates(
        counts=count(truth, called),
        sensitivity=proportion(called[truth], names[truth], empty="no positive case"),
        specificity=proportion(~called[~truth], names[~truth], empty="no negative case"),
        ppv=proportion(truth[called], names[called], empty="no case was called positive"),
        npv=proportion(~truth[~called], names[~called], empty="no case was called negative"),
        f1=f1,
        accuracy=proportion(truth == called, names, empty="no case"),
        balanced_accuracy=balanced,
    )


def _by_rows(metric: RowMetric, labels: NDArray[Any], scores: NDArray[Any]) -> Metric:
    def drawn(times: NDArray[Any]) -> float:
        rows = np.repeat(np.arange(len(labels)), times.astype(np.intp))
        try:
            return float(metric(labels[rows], scores[rows]))
        except (UndefinedEstimate, ValueError):
            return float("nan")

    def value(weights: Weights | None) -> Ratio:
        return float(metric(labels, scores)) if weights is None else np.array([drawn(times) for times in weights])

    return value


def _value(metric: Metric) -> Estimate:
    try:
        value = float(metric(None))
    except UndefinedEstimate as error:
        return Estimate(None, reason=str(error))
    return Estimate(None, reason="undefined for these data") if np.isnan(value) else Estimate(value)


def _with_interval(value: Estimate, drawn: list[Ratio], degrees: int | None) -> Estimate:
    if value.value is None:
        return value
    resampled: Array = np.concatenate([np.atleast_1d(block) for block in drawn])
    try:
        low, high = interval(resampled)
    except UndefinedEstimate as error:
        return _without_interval(value, str(error))
    if low == high:
        # A perfect or a constant score: [1, 1] would claim certainty that the data do not give.
        return _without_interval(value, "all resamples agree, so the spread is unknown")
    if degrees and 0 < value.value < 1:
        deviation = float(np.nanstd(resampled)) * np.sqrt((degrees + 1) / degrees)
        return Estimate(value.value, *share_interval(value.value, deviation, degrees))
    # Resampling inflates what cannot be negative: where the interval would miss the value it is widened to it.
    return Estimate(value.value, min(low, value.value), max(high, value.value))


def _without_interval(value: Estimate, reason: str) -> Estimate:
    return value if value.value is None else replace(value, reason=f"no interval: {reason}")
