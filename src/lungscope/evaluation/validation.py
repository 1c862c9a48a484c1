"""How a model did on validation, kept in its card so that other data can be held against it."""

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.validation_summary import Outcome
from lungscope.evaluation.cases import check_cases, mean
from lungscope.evaluation.recalibration import recalibration_estimates
from lungscope.stats.bootstrap import estimate
from lungscope.stats.comparison import auroc_estimate
from lungscope.stats.metrics import Estimate
from lungscope.stats.patients import Patients, patient_index

UNDEFINED = Estimate(None, reason="no class is the reference")


def validation_outcome(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    patients: Patients,
    classes: tuple[str, ...],
    *,
    referenced: bool,
) -> Outcome:
    """Measure what a card keeps of its validation images.

    Args:
        labels: (N,), class indices.
        probabilities: (N, K), calibrated; rows sum to 1.
        patients: (N,), whose each row is.
        classes: K names; the first is the reference.
        referenced: whether the first is one that others are told from.
    """
    cases = check_cases(labels, probabilities, patients, classes)
    shares = np.bincount(cases.labels, minlength=len(classes)) / len(cases.labels)
    if referenced:
        area = auroc_estimate(cases.diseased, cases.p_abnormal, cases.patients)
        fit = recalibration_estimates(cases.diseased, cases.p_abnormal, cases.patients)
        slope, large = fit.slope, fit.in_the_large
    else:
        area, slope, large = estimate(mean(cases.areas()), cases.patients), UNDEFINED, UNDEFINED
    return Outcome(
        shares=tuple(round(float(share), 9) for share in shares),
        patients=len(np.unique(patient_index(cases.patients))),
        auroc=area,
        slope=slope,
        in_the_large=large,
    )
