"""How a model did on validation, kept in its card so that other data can be held against it."""

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.validation_summary import Outcome
from lungscope.evaluation.cases import check_cases, mean
from lungscope.evaluation.evaluate import recalibrated
from lungscope.stats.patients import Patients, count_patients
from lungscope.stats.resampling import estimate


def validation_outcome(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    patients: Patients,
    classes: tuple[str, ...],
    *,
    has_reference: bool,
) -> Outcome:
    """Measure what a card keeps of its validation images.

    Args:
        labels: (N,), class indices.
        probabilities: (N, K), calibrated; rows sum to 1.
        patients: (N,), whose each row is.
        classes: K names; the first is the reference.
        has_reference: whether the first is one that others are told from.
    """
    cases = check_cases(labels, probabilities, patients, classes, has_reference=has_reference)
    shares = np.bincount(cases.labels, minlength=len(classes)) / len(cases.labels)
    fit = recalibrated(cases)
    return Outcome(
        shares=tuple(round(float(share), 9) for share in shares),
        patients=count_patients(cases.patients),
        auroc=cases.p_abnormal_area() if cases.has_reference else estimate(mean(cases.areas()), cases.patients),
        slope=fit.slope,
        in_the_large=fit.in_the_large,
    )
