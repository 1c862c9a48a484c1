"""A whole evaluation without a model: labels and scores of any origin, such as another framework's or a vendor's."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.data.manifest import is_reference, order_classes
from lungscope.data.score_table import ScoreTable, read_scores
from lungscope.errors import ConfigError, DataError
from lungscope.evaluation import evaluate as measure
from lungscope.evaluation.cases import Cases, check_cases
from lungscope.evaluation.decision_curve import decisions
from lungscope.evaluation.evaluate import Evaluation
from lungscope.evaluation.measurements import Measurements
from lungscope.evaluation.subgroups import Subgroups, measure_subgroups
from lungscope.reports.evaluation_json import evaluation_json
from lungscope.reports.html import write_report
from lungscope.reports.report import Report
from lungscope.reports.report_files import linked, write_estimates
from lungscope.reports.sections.every import report_sections
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint

GIVEN = Estimate(None, reason="the threshold was given, not chosen")


@dataclass(frozen=True)
class ScoreEvaluation:
    """What was measured of scores."""

    measurements: Measurements

    @property
    def evaluation(self) -> Evaluation:
        """Discrimination, calibration and operating points."""
        return self.measurements.evaluation

    @property
    def auroc(self) -> Estimate:
        """That of the second class of two; with more, the mean over the classes, each against all others."""
        return self.evaluation.auroc

    def report(self, path: Path | str) -> Path:
        """Write everything as one self-contained HTML page, and return its path.

        Raises:
            OutputError: the place cannot be written.
        """
        write_report(Path(path), self._report())
        return Path(path)

    def write(self, folder: Path) -> Path:
        """Write report.html with the numbers behind it, as JSON and CSV; returns the page.

        Raises:
            OutputError: the place cannot be written.
        """
        report = self._report()
        write_estimates(folder, self.evaluation, evaluation_json(self.measurements, None, ""))
        write_report(folder / "report.html", report, linked(report))
        return folder / "report.html"

    def __repr__(self) -> str:
        found = self.evaluation
        return f"{type(self).__name__}({found.n} scores of {found.patients} patients; AUROC {found.auroc})"

    def _report(self) -> Report:
        return Report(self.evaluation, sections=report_sections(self.measurements, of_model=False))


def evaluate(
    labels: ArrayLike | str | os.PathLike[str],
    probabilities: ArrayLike | None = None,
    *,
    patients: Sequence[str] | NDArray[np.str_] | None = None,
    classes: Sequence[str] | None = None,
    thresholds: float | Sequence[float] = 0.5,
    prevalence: float | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> ScoreEvaluation:
    """Measure a model of any framework, or a vendor's scores: the whole report, with intervals by patient.

    Thresholds are given, never chosen here: a threshold chosen on the data it is measured on looks better than it is.

    Args:
        labels: (N,), class indices or names of classes; or a CSV that holds all but `thresholds` and `prevalence`: the
            columns label, one per class and, if wanted, patient and others for subgroups.
        probabilities: (N, K), rows sum to 1; or of two classes (N,), of the second one.
        patients: (N,), whose each row is; every row a patient of its own when not given.
        classes: K names, the reference first; by default those among the labels, or the numbers of the indices.
        thresholds: on the probability of not being of the first class, 0..1; of more than two classes only where the
            first is a reference by its name, such as "normal".
        prevalence: share of diseased where the scores will be used, between 0 and 1.
        columns: per name N texts, empty where unknown; for subgroups.

    Raises:
        ManifestError: not such a CSV; the message names the line.
        DataError: a label without a class, a value that is no probability, or columns that do not fit.
        ConfigError: a threshold or the prevalence is outside its range, or arguments contradict each other.
    """
    if isinstance(labels, str | os.PathLike):
        if any(each is not None for each in (probabilities, patients, classes, columns)):
            raise ConfigError("A CSV holds probabilities, patients, classes and columns. Leave these arguments out.")
        return _evaluate_table(read_scores(Path(labels)), thresholds, prevalence)
    if probabilities is None:
        raise ConfigError("Labels without probabilities. Give both, or the path of a CSV that holds them.")
    given = np.asarray(probabilities, np.float64)
    if given.ndim == 1 or given.shape[1:] == (1,):
        given = np.column_stack([1 - given.ravel(), given.ravel()])
    truth, names = _indexed(np.asarray(labels), given.shape[1], classes)
    owners = np.full(len(truth), "") if patients is None else np.asarray(patients, np.str_)
    cases = check_cases(truth, given, owners, names, has_reference=is_reference(names[0]))
    points = _points(thresholds) if cases.has_reference else ()
    return ScoreEvaluation(
        Measurements(
            measure.evaluate(cases, points, prevalence=prevalence),
            decision_curve=decisions(cases) if cases.has_reference else None,
            subgroups=_subgroups(cases, columns or {}, points),
        )
    )


def _evaluate_table(
    table: ScoreTable, thresholds: float | Sequence[float], prevalence: float | None
) -> ScoreEvaluation:
    return evaluate(
        table.labels, table.probabilities, patients=table.patients, classes=table.classes,
        thresholds=thresholds, prevalence=prevalence, columns=table.columns,
    )  # fmt: skip


def _subgroups(
    cases: Cases, columns: Mapping[str, Sequence[str]], points: Sequence[OperatingPoint]
) -> Subgroups | None:
    groups = {name: tuple(map(str, values)) for name, values in columns.items()}
    if misfit := next((name for name, values in groups.items() if len(values) != len(cases.labels)), ""):
        raise DataError(f"Column {misfit!r} has {len(groups[misfit])} rows and the labels have {len(cases.labels)}.")
    return measure_subgroups(cases, groups, points[0] if points else None) if groups else None


def _indexed(
    labels: NDArray[np.generic], n_classes: int, classes: Sequence[str] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as indices, with the names of the classes."""
    if labels.dtype.kind not in "UOS":
        names = tuple(classes) if classes else tuple(str(k) for k in range(n_classes))
        return labels.astype(np.int64) if labels.dtype.kind == "b" else labels, names  # type: ignore[return-value]
    texts = [str(label) for label in labels]
    names = tuple(classes) if classes else order_classes(texts)
    if unknown := sorted(set(texts) - set(names)):
        raise DataError(f"Label {unknown[0]!r} is none of the classes {', '.join(names)}. Name all classes.")
    return np.array([names.index(text) for text in texts], np.int64), names


def _points(thresholds: float | Sequence[float]) -> tuple[OperatingPoint, ...]:
    values = [float(each) for each in np.atleast_1d(np.asarray(thresholds, np.float64))]
    if wrong := [each for each in values if not 0 <= each <= 1]:
        raise ConfigError(f"Threshold {wrong[0]:g} is no probability. Give numbers from 0 to 1, such as 0.5.")
    return tuple(OperatingPoint(f"threshold {each:g}", f"{each:g}", each, GIVEN, GIVEN) for each in values)
