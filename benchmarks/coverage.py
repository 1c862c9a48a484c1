"""Do 95 % intervals cover the truth 95 times in 100? Data are drawn where the truth is known.

A patient is diseased or not and has one image or more, whose scores share a part of their own. Scores are
binormal, so AUROC, sensitivity, specificity, predictive values and F1 have closed forms; average precision and
Brier score are taken from a million cases. Probabilities are the exact posterior: slope 1, intercept 0.

    python benchmarks/coverage.py --simulations 2000
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri

from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.recalibration import recalibration_estimates
from lungscope.stats.comparison import auroc_estimate, delong
from lungscope.stats.estimate import Estimate
from lungscope.stats.metrics import Ranked
from lungscope.stats.resampling import count_metrics, estimates, with_counts

SHARED = 0.5
"""Part of a score's variance that a patient's images share."""
CALLED_AT = 0.5


@dataclass(frozen=True)
class Setting:
    """One way of drawing data."""

    patients: int
    auroc: float
    prevalence: float = 0.5
    images: float = 2.0
    """Of a patient, on average."""

    def __str__(self) -> str:
        return f"{self.patients} patients, AUROC {self.auroc:g}, {self.prevalence:.0%} diseased"


SETTINGS = tuple(
    Setting(patients, auroc, prevalence)
    for patients, prevalence in ((60, 0.5), (150, 0.7), (400, 0.3))
    for auroc in (0.75, 0.9, 0.97)
)


@dataclass(frozen=True)
class Sample:
    """Images with their labels, two calibrated probabilities and patients."""

    labels: NDArray[np.int64]
    p_abnormal: NDArray[np.float64]
    rival: NDArray[np.float64]
    """Another score of the same images, as good as the first."""
    patients: NDArray[np.int64]


def draw(setting: Setting, rng: np.random.Generator) -> Sample:
    """Draw patients and their images."""
    n_images = 1 + rng.poisson(setting.images - 1, setting.patients)
    patients = np.repeat(np.arange(setting.patients), n_images)
    diseased = rng.random(setting.patients) < setting.prevalence
    labels = diseased[patients].astype(np.int64)
    first, second = (_p_abnormal(setting, labels, patients, rng) for _ in range(2))
    return Sample(labels, first, second, patients)


def truth(setting: Setting) -> dict[str, float]:
    """What every figure would be on endless data."""
    shift, share = _shift(setting), setting.prevalence
    cut = (logit(CALLED_AT) - logit(share) + shift**2 / 2) / shift
    found, cleared = 1 - ndtr(cut - shift), ndtr(cut)
    hits, alarms = share * found, (1 - share) * (1 - cleared)
    rng = np.random.default_rng(1)
    labels = (rng.random(1_000_000) < share).astype(np.int64)
    p_abnormal = _p_abnormal(setting, labels, np.arange(labels.size), rng)
    return {
        "AUROC": setting.auroc,
        "difference of AUROCs (DeLong)": 0.0,
        "average precision": float(Ranked(labels, p_abnormal).mass().average_precision),
        "sensitivity": found,
        "specificity": cleared,
        "PPV": hits / (hits + alarms),
        "NPV": (1 - share) * cleared / ((1 - share) * cleared + share * (1 - found)),
        "accuracy": share * found + (1 - share) * cleared,
        "balanced accuracy": (found + cleared) / 2,
        "F1": 2 * hits / (share + hits + alarms),
        "Brier score": float(((p_abnormal - labels) ** 2).mean()),
        "calibration slope": 1.0,
        "calibration intercept": 0.0,
        "calibration in the large": 0.0,
    }


def measure(sample: Sample, resamples: int, seed: int) -> dict[str, Estimate]:
    """Every figure with its interval, as an evaluation gives it."""
    columns = np.column_stack([1 - sample.p_abnormal, sample.p_abnormal])
    names = np.char.add("p", sample.patients.astype(str))
    cases = check_cases(sample.labels, columns, names, ("healthy", "diseased"))
    called = sample.p_abnormal >= CALLED_AT
    metrics = [*cases.precisions(), cases.brier(), *count_metrics(sample.labels, called)]
    precision, brier, *drawn = estimates(metrics, names, resamples=resamples, seed=seed)
    counts = with_counts(sample.labels, called, names, *drawn)
    fit = recalibration_estimates(cases.diseased, cases.p_abnormal, names)
    versus = delong(sample.labels, sample.p_abnormal, sample.rival, sample.patients)
    return {
        "AUROC": auroc_estimate(sample.labels, sample.p_abnormal, sample.patients),
        "difference of AUROCs (DeLong)": Estimate(versus.difference, versus.low, versus.high),
        "average precision": precision,
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
        "PPV": counts.ppv,
        "NPV": counts.npv,
        "accuracy": counts.accuracy,
        "balanced accuracy": counts.balanced_accuracy,
        "F1": counts.f1,
        "Brier score": brier,
        "calibration slope": fit.slope,
        "calibration intercept": fit.intercept,
        "calibration in the large": fit.in_the_large,
    }


def coverage(setting: Setting, simulations: int, resamples: int, seed: int = 0) -> dict[str, float]:
    """Share of simulations whose interval holds the truth; those without an interval are left out."""
    wanted = truth(setting)
    hits: dict[str, list[bool]] = {}
    for found in _repeat(setting, simulations, resamples, seed):
        for name, figure in found.items():
            if figure.low is not None and figure.high is not None:
                hits.setdefault(name, []).append(figure.low <= wanted[name] <= figure.high)
    return {name: float(np.mean(inside)) for name, inside in hits.items()}


def _repeat(setting: Setting, simulations: int, resamples: int, seed: int) -> Iterator[dict[str, Estimate]]:
    for i in range(simulations):
        sample = draw(setting, np.random.default_rng([seed, i]))
        if 0 < sample.labels.sum() < sample.labels.size:
            yield measure(sample, resamples, i)


def _shift(setting: Setting) -> float:
    return float(np.sqrt(2) * ndtri(setting.auroc))


def _p_abnormal(
    setting: Setting, labels: NDArray[np.int64], patients: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Exact posterior probabilities; a patient's images share a part of the score."""
    own = rng.normal(0, np.sqrt(SHARED), patients.max() + 1)[patients]
    shift = _shift(setting)
    score = shift * labels + own + rng.normal(0, np.sqrt(1 - SHARED), labels.size)
    p_abnormal: NDArray[np.float64] = expit(shift * score - shift**2 / 2 + logit(setting.prevalence))
    return p_abnormal


def main() -> None:
    """Print a table in Markdown: a row per figure, a column per setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    found = [coverage(each, options.simulations, options.resamples) for each in SETTINGS]
    print("| figure | " + " | ".join(map(str, SETTINGS)) + " | mean |")
    print("| --- " * (len(SETTINGS) + 2) + "|")
    for name in found[0]:
        values = [100 * each[name] for each in found]
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in [*values, float(np.mean(values))]) + " |")


if __name__ == "__main__":
    main()
