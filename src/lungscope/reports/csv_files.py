"""The data behind a report as CSV: every estimate of evaluation.json, and the points of every curve."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lungscope.evaluation.curves import Curves

HEADER = ("name", "value", "low", "high", "reason")


def estimates_csv(document: dict[str, Any]) -> str:
    """Every number of an evaluation, one a line, named by its place in evaluation.json.

    Args:
        document: the content of evaluation.json.
    """
    return _csv(HEADER, _flat("", document))


def curve_csvs(curves: Curves | None) -> dict[str, str]:
    """Content by file name; only the curves that these data give."""
    if curves is None:
        return {}
    bins = curves.reliability
    found = {
        "reliability.csv": _csv(
            ("predicted", "observed", "low", "high", "cases"),
            zip(bins.predicted, bins.observed, bins.low, bins.high, bins.count, strict=True),
        )
    }
    if roc := curves.roc:
        points = zip(roc.thresholds, roc.false_positive_rate, roc.sensitivity, strict=True)
        found["roc.csv"] = _csv(("threshold", "false_positive_rate", "sensitivity"), points)
    if band := curves.band:
        points = zip(band.false_positive_rate, band.low, band.high, strict=True)
        found["roc_interval.csv"] = _csv(("false_positive_rate", "sensitivity_low", "sensitivity_high"), points)
    if recall := curves.precision_recall:
        points = zip(recall.thresholds, recall.recall, recall.precision, strict=True)
        found["precision_recall.csv"] = _csv(("threshold", "recall", "precision"), points)
    return found


def _flat(name: str, found: Any) -> Iterator[tuple[object, ...]]:
    """Rows of an estimate, a number or a text, or of everything inside."""
    if isinstance(found, dict) and {"value", "ci95"} <= found.keys():
        low, high = found["ci95"] or (None, None)
        yield name, found["value"], low, high, found.get("reason", "")
    elif isinstance(found, dict):
        for key, inner in found.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    elif isinstance(found, list):
        for i, inner in enumerate(found):
            yield from _flat(f"{name}.{i}", inner)
    else:
        yield name, found, None, None, ""


def _csv(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(each) for each in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """Nothing for what is missing; floats with six digits."""
    if value is None:
        return ""
    return f"{float(value):.6g}" if isinstance(value, float | np.floating) else value
