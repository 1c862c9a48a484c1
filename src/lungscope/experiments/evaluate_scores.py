"""A whole evaluation without a model: labels and scores of any origin, such as another framework's or a vendor's."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.data.manifest import is_reference, order_classes
from lungscope.data.table import NO_LABEL, PATIENT_COLUMNS, read_cells
from lungscope.errors import ConfigError, DataError, ManifestError
from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.decision_curve import decisions
from lungscope.evaluation.evaluate import Evaluation, evaluate
from lungscope.evaluation.measurements import Measurements
from lungscope.evaluation.subgroups import measure_subgroups
from lungscope.reports.evaluation_json import evaluation_json
from lungscope.reports.html import write_report
from lungscope.reports.report import Report
from lungscope.reports.report_files import linked, write_estimates
from lungscope.reports.sections.every import report_sections
from lungscope.stats.metrics import Estimate
from lungscope.stats.operating_points import OperatingPoint
from lungscope.stats.prior_correction import ROUNDING

PREFIX = "p_"
"""A column may be named as its class or with this before it, as in predictions.csv."""
SCORE_COLUMNS = frozenset({"score", "probability", "p_abnormal"})
"""Names of a single column of scores of the second class of two."""
OTHER_COLUMNS = frozenset({"label", "path", "finding", "not_assessed"}) | PATIENT_COLUMNS | SCORE_COLUMNS
"""Names that are neither a class nor a subgroup."""
GIVEN = Estimate(None, reason="the threshold was given, not chosen")


@dataclass(frozen=True)
class ScoreTable:
    """Labelled scores as they stand in a table, checked."""

    labels: NDArray[np.int64]
    """(N,), index into `classes`."""
    probabilities: NDArray[np.float64]
    """(N, K); rows sum to 1."""
    classes: tuple[str, ...]
    """The reference first when a name says so, then sorted."""
    patients: tuple[str, ...] = field(repr=False)
    """N identifiers; an empty one is a patient of its own."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """Further columns, N texts each, for subgroups."""


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


def evaluate_scores(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    patients: Sequence[str] | NDArray[np.str_] | None = None,
    classes: Sequence[str] | None = None,
    thresholds: float | Sequence[float] = 0.5,
    prevalence: float | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> ScoreEvaluation:
    """Measure scores of any origin: discrimination, calibration, operating points, decision curve, subgroups.

    Thresholds are given, never chosen here: a threshold chosen on the data it is measured on looks better than it is.

    Args:
        labels: (N,), class indices, or names of classes.
        probabilities: (N, K), rows sum to 1; or of two classes (N,), of the second one.
        patients: (N,), whose each row is; every row a patient of its own when not given.
        classes: K names. When not given: the names among the labels, the reference first when a name says so, then
            sorted; or the numbers of the indices.
        thresholds: on the probability of not being of the first class, 0..1. With more than two classes they are used
            only where the first class is a reference by its name, such as "normal".
        prevalence: share of diseased where the scores will be used, between 0 and 1.
        columns: per name N texts, empty where unknown; for subgroups.

    Raises:
        DataError: a label without a class, a value that is no probability, or columns that do not fit.
        ConfigError: a threshold or the prevalence is outside its range.
    """
    given = np.asarray(probabilities, np.float64)
    if given.ndim == 1 or given.shape[1:] == (1,):
        given = np.column_stack([1 - given.ravel(), given.ravel()])
    truth, names = _indexed(np.asarray(labels), given.shape[1], classes)
    owners = np.full(len(truth), "") if patients is None else np.asarray(patients, np.str_)
    cases = check_cases(truth, given, owners, names, has_reference=is_reference(names[0]))
    points = _points(thresholds) if cases.has_reference else ()
    groups = {name: tuple(map(str, values)) for name, values in (columns or {}).items()}
    if misfit := next((name for name, values in groups.items() if len(values) != len(truth)), ""):
        raise DataError(f"Column {misfit!r} has {len(groups[misfit])} rows and the labels have {len(truth)}.")
    return ScoreEvaluation(
        Measurements(
            evaluate(cases, points, prevalence=prevalence),
            decision_curve=decisions(cases) if cases.has_reference else None,
            subgroups=measure_subgroups(cases, groups, points[0] if points else None) if groups else None,
        )
    )


def read_scores(path: Path) -> ScoreTable:
    """Read a table in UTF-8: label, one probability per class, and if wanted patient and columns for subgroups.

    A probability's column is named as its class, or p_ and the class. Of two classes one such column is enough, or
    a single one called score, probability or p_abnormal, which is that of the second class.

    Raises:
        ManifestError: not such a table; the message names the line.
    """
    names, lines = read_cells(path)
    if not lines:
        raise ManifestError(f"{path}: the table has no rows. Write label, probabilities, and one row per image.")
    if twice := [name for name, n in Counter(name.lower() for name in names).items() if n > 1]:
        raise ManifestError(f"{path}: two columns are called {twice[0]!r}. Keep one, or rename the other.")
    numbers = [number for number, _ in lines]
    cells = dict(zip(names, zip(*(row for _, row in lines), strict=True), strict=True))
    labels = [label.strip() for label in _label_column(path, cells)]
    for number, label in zip(numbers, labels, strict=True):
        if label.lower() in NO_LABEL:
            raise ManifestError(f"{path}, line {number}: the label is empty. Fill it in or remove the line.")
    scores = _score_columns(path, tuple(cells), labels)
    classes = order_classes({*labels, *scores.values()})
    if len(classes) < 2 or len(set(labels)) < 2:
        raise ManifestError(f"{path}: every label is {labels[0]!r}. Add cases of another class.")
    columns = {name: _probabilities(path, column, cells[column], numbers) for column, name in scores.items()}
    _check_labels(path, labels, numbers, columns if len(columns) > 1 else dict.fromkeys(classes))
    probabilities = _filled(path, columns, classes, numbers)
    owner = next((name for name in names if name.lower() in PATIENT_COLUMNS), "")
    known = {*scores, *(name for name in names if name.lower() in OTHER_COLUMNS)}
    return ScoreTable(
        labels=np.array([classes.index(label) for label in labels], np.int64),
        probabilities=probabilities,
        classes=classes,
        patients=tuple(each.strip() for each in cells[owner]) if owner else ("",) * len(labels),
        columns={name: values for name, values in cells.items() if name not in known},
    )


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


def _label_column(path: Path, cells: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    for name, values in cells.items():
        if name.lower() == "label":
            return values
    raise ManifestError(
        f"{path}: the header has no column 'label'; it has {', '.join(map(repr, cells))}. "
        "Call the columns label, one per class, and if wanted patient."
    )


def _score_columns(path: Path, names: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Class by column of probabilities."""
    by_fold = {label.casefold(): label for label in labels}
    found: dict[str, str] = {}
    for name in names:
        plain = name[len(PREFIX) :] if name.lower().startswith(PREFIX) else name
        if name.lower() in OTHER_COLUMNS:
            continue
        if plain.casefold() in by_fold or plain != name:
            found[name] = by_fold.get(plain.casefold(), plain)
    single = [name for name in names if name.lower() in SCORE_COLUMNS]
    two = order_classes(labels)
    if not found and single and len(two) <= 2:
        return {single[0]: two[-1]}
    if not found or (len(found) == 1 and len({*two, *found.values()}) > 2):
        absent = [name for name in two if name not in found.values()]
        raise ManifestError(
            f"{path}: no column holds the probability of {absent[0]!r}; the header has "
            f"{', '.join(map(repr, names))}. Name one column per class as the class."
        )
    return found


def _probabilities(path: Path, name: str, cells: Sequence[str], numbers: Sequence[int]) -> NDArray[np.float64]:
    values = np.empty(len(cells))
    for i, (cell, number) in enumerate(zip(cells, numbers, strict=True)):
        try:
            values[i] = float(cell)
        except ValueError:
            values[i] = math.nan
        if not 0 <= values[i] <= 1:
            kind = "is no number" if math.isnan(values[i]) else "is outside 0..1"
            raise ManifestError(
                f"{path}, line {number}: {name} {cell.strip()!r} {kind}. Write a probability with a decimal point."
            )
    return values


def _check_labels(path: Path, labels: Sequence[str], numbers: Sequence[int], known: Mapping[str, object]) -> None:
    for number, label in zip(numbers, labels, strict=True):
        if label not in known:
            raise ManifestError(
                f"{path}, line {number}: label {label!r} has no column of probabilities; there are columns for "
                f"{', '.join(known)}. Correct the label, or add its column."
            )


def _filled(
    path: Path, columns: Mapping[str, NDArray[np.float64]], classes: Sequence[str], numbers: Sequence[int]
) -> NDArray[np.float64]:
    """(N, K) in the order of the classes; a single column of two is completed."""
    if len(columns) == 1:
        ((name, values),) = columns.items()
        return np.column_stack([values if each == name else 1 - values for each in classes])
    found = np.column_stack([columns[each] for each in classes])
    sums = found.sum(axis=1)
    if (off := np.flatnonzero(np.abs(sums - 1) > ROUNDING)).size:
        raise ManifestError(
            f"{path}, line {numbers[off[0]]}: the probabilities sum to {sums[off[0]]:.4g}, not to 1. "
            "Write those of all classes, after the softmax."
        )
    return found
