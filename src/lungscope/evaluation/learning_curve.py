"""How much more data would help: AUROC against the share of the training patients."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lungscope.evaluation.cases import check_cases, mean
from lungscope.evaluation.comparison import Candidate
from lungscope.evaluation.paired import auroc_metric
from lungscope.reports import summary
from lungscope.reports.leaderboard_plots import learning_curve_figure
from lungscope.reports.section import Plot, Section, Table
from lungscope.stats.bootstrap import RESAMPLES, estimate
from lungscope.stats.metrics import Estimate
from lungscope.stats.patients import Patients


@dataclass(frozen=True)
class LearningPoint:
    """A method that learned from a part of the training patients, judged on the same images as all others."""

    method: str
    fraction: float
    images: int
    patients: int
    """That it learned from; over folds the mean."""
    auroc: Estimate
    """Mean over seeds; with more than two classes over the classes too."""
    auroc_by_seed: tuple[float, ...]

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds."""
        return float(np.std(self.auroc_by_seed, ddof=1)) if len(self.auroc_by_seed) > 1 else None


def learning_point(
    candidate: Candidate,
    fraction: float,
    learned_from: tuple[int, int],
    labels: ArrayLike,
    patients: Patients,
    classes: Sequence[str],
    *,
    resamples: int = RESAMPLES,
) -> LearningPoint:
    """Measure one method at one fraction.

    Args:
        candidate: its predictions of the common cases, once per seed.
        fraction: of the training patients.
        learned_from: images and patients.
        labels: (N,), class indices of the common cases.
        patients: (N,), whose each row is.
        classes: K names.
        resamples: number of draws of patients.
    """
    cases = [check_cases(labels, rows, patients, classes) for rows in candidate.probabilities]
    area = estimate(mean([auroc_metric(each) for each in cases]), cases[0].patients, resamples=resamples)
    seeds = () if area.value is None else tuple(float(auroc_metric(each)(None)) for each in cases)
    return LearningPoint(candidate.name, fraction, *learned_from, area, seeds)


def learning_section(points: Sequence[LearningPoint]) -> Section:
    """The curve as a part of the leaderboard page."""
    rows: list[tuple[str | summary.Cell, ...]] = [
        (
            each.method,
            f"{each.fraction:.3g}",
            f"{each.images:,}",
            f"{each.patients:,}",
            summary.cell(each.auroc, summary.decimal),
            "–" if each.spread is None else f"± {each.spread:.3f}",
        )
        for each in points
    ]
    header = ("Method", "Fraction", "Images", "Patients", "AUROC", "Over seeds")
    drawn = [each for each in points if each.auroc.value is not None]
    return Section(
        title="Learning curve",
        lead=f"{_verdict(points)} Smaller parts lie within larger ones, and all are judged on the same images.",
        tables=(
            Table("By part of the training patients", header, tuple(rows), "Brackets are 95% intervals."),
        ),
        plots=(
            Plot(
                "AUROC by training images",
                learning_curve_figure(drawn),
                "A curve that still rises at its end would gain from more data; a flat one would not.",
            ),
        )
        if drawn
        else (),
    )


def learning_csv(points: Sequence[LearningPoint]) -> str:
    """One line per method and fraction."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "method",
            "fraction",
            "images",
            "patients",
            "auroc",
            "auroc_low",
            "auroc_high",
            "sd_over_seeds",
            "reason",
        ]
    )
    for each in points:
        area = each.auroc
        sizes = (each.method, each.fraction, each.images, each.patients)
        writer.writerow([*sizes, area.value, area.low, area.high, each.spread, area.reason])
    return text.getvalue()


def _verdict(points: Sequence[LearningPoint]) -> str:
    """What the last step of every method brought."""
    told = []
    for name in dict.fromkeys(each.method for each in points):
        own = [each for each in points if each.method == name and each.auroc.value is not None]
        if len(own) > 1 and own[-1].auroc.value is not None and own[-2].auroc.value is not None:
            gain = own[-1].auroc.value - own[-2].auroc.value
            told.append(
                f"From {own[-2].images:,} to {own[-1].images:,} images {name} {'gained' if gain >= 0 else 'lost'} "
                f"{abs(gain):.3f} of AUROC."
            )
    return " ".join(told)
