"""An evaluation as one self-contained HTML page: no script, no external resource, the same bytes every time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.data.audit.checks import AuditReport, Finding
from lungscope.evaluation.evaluate import Confusion, Evaluation
from lungscope.inference.overlay import colour_ramp, overlay
from lungscope.reports import plots
from lungscope.reports.history import TrainingEpoch
from lungscope.reports.page import render_page
from lungscope.reports.report import GalleryCase, Report
from lungscope.reports.section import Plot, data_uri
from lungscope.system.files import write_atomically

LARGEST_PICTURE = 360
"""Longest side of a picture in the page, so that it can still be mailed."""
SHORTEST_NAME = 5
"""Letters from which a file's name without its ending is looked for in a message."""


@dataclass(frozen=True)
class _Case:
    number: int
    case: GalleryCase
    plain: str
    heat: str


@dataclass(frozen=True)
class _Remark:
    severity: str
    message: str
    n_files: int


def write_report(path: Path, report: Report, files: Mapping[str, str] | None = None) -> None:
    """Write a report, whole or not at all.

    Args:
        path: of the page.
        report: what it shows.
        files: what lies beside the page, by its relative path, with words for it.

    Raises:
        OutputError: the place cannot be written.
    """
    write_atomically(path, render_report(report, files))


def render_report(report: Report, files: Mapping[str, str] | None = None) -> str:
    """The page as HTML; patient identifiers and file names are not in it."""
    evaluation = report.evaluation
    point = evaluation.operating_points[0].point if evaluation.operating_points else None
    return render_page(
        "report.html", report=report, origin=report.origin, files=files or {}, evaluation=evaluation, point=point,
        confusion=evaluation.operating_points[0].confusion if point else evaluation.confusion,
        shares=_row_shares, plots=_plots(evaluation), training=_training(report.history),
        remarks=_remarks(report.audit), cases=_cases(report.gallery), ramp=_ramp(),
    )  # fmt: skip


def _plots(evaluation: Evaluation) -> dict[str, list[Plot]]:
    curves, points = evaluation.curves, evaluation.operating_points
    if curves is None:
        return {"discrimination": [], "calibration": []}
    calibration = [
        Plot("Reliability", plots.reliability_plot(curves.reliability),
              "On the dashed line a probability of 80% comes true eight times in ten. Bars are 95% intervals."),
        Plot("Probabilities by class", plots.scores_plot(curves.histogram, evaluation.classes, points),
              "The further apart the classes lie, the better. The dashed line is the default threshold."),
    ]  # fmt: skip
    if curves.roc is None or curves.precision_recall is None:
        return {"discrimination": [], "calibration": calibration}
    prevalence = evaluation.prevalence.value or 0.0
    discrimination = [
        Plot("ROC curve", plots.roc_plot(curves.roc, curves.band, points),
              "The closer to the upper left, the better. The band is the 95% interval at each false-positive rate."),
        Plot("Precision and recall",
              plots.precision_recall_plot(curves.precision_recall, prevalence, points),
              "The closer to the upper right, the better. It holds at the prevalence of these data only."),
    ]  # fmt: skip
    return {"discrimination": discrimination, "calibration": calibration}


def _training(history: tuple[TrainingEpoch, ...]) -> list[Plot]:
    if not history:
        return []
    return [
        Plot("Loss", plots.loss_plot(history), "Validation rising while training falls is overfitting."),
        Plot("Validation AUROC", plots.validation_auroc_plot(history), "The epoch with the dot was kept."),
    ]


def _remarks(audit: AuditReport | None) -> list[_Remark]:
    findings = audit.findings if audit else ()
    return [_Remark(each.severity, _anonymous(each), len(each.paths)) for each in findings]


def _anonymous(finding: Finding) -> str:
    """The message without any file's name; each becomes "[file]"."""
    message = finding.message
    for path in finding.paths:
        for name in (str(path), path.name, path.stem if len(path.stem) >= SHORTEST_NAME else ""):
            message = message.replace(name, "[file]") if name else message
    return message


def _cases(gallery: tuple[GalleryCase, ...]) -> list[_Case]:
    cases = []
    for number, case in enumerate(gallery, start=1):
        small = _reduced(case.image)
        cases.append(_Case(number, case, data_uri(small), data_uri(overlay(small, case.heatmap))))
    return cases


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(pixels)
    picture.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _row_shares(confusion: Confusion) -> list[list[float]]:
    """Each cell as a share of its row."""
    shares: list[list[float]] = (confusion / confusion.sum(axis=1, keepdims=True).clip(1)).tolist()
    return shares


def _ramp() -> str:
    """Colours of the heat maps from cold to hot, for a CSS gradient."""
    stops = colour_ramp()[:: len(colour_ramp()) // 8].round().astype(int)
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in stops)
