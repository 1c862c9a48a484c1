"""Results of many files as CSV or JSON lines."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from lungscope.bundle.card import Card
from lungscope.errors import ConfigError
from lungscope.inference.result import ImageResult
from lungscope.system.files import open_atomically

FORMATS = (".csv", ".jsonl")


def row(result: ImageResult, card: Card) -> dict[str, Any]:
    """One result as named columns; the columns are the same for every result of a model.

    What is not assessed has no finding; its probabilities stay, beside the reason in `not_assessed`.
    """
    decision, p_abnormal = result.decision, result.p_abnormal
    probabilities = result.probabilities or (None,) * len(card.classes)
    return {
        "file": str(result.source or ""),
        "finding": result.finding,
        "p_abnormal": None if p_abnormal is None else round(p_abnormal, 6),
        "operating_point": decision.operating_point if decision else None,
        "threshold": decision.threshold if decision else None,
        **{
            f"p_{name}": None if p is None else round(p, 6) for name, p in zip(card.classes, probabilities, strict=True)
        },
        "prediction_set": None if result.prediction_set is None else " | ".join(result.prediction_set),
        "not_assessed": result.not_assessed,
        "distance": None if result.distance is None else round(result.distance, 4),
        "notes": "; ".join(result.notes),
        "error": result.error,
    }


def write_table(results: Iterable[ImageResult], path: Path, card: Card) -> int:
    """Write results to a CSV or JSONL file, which appears whole when all are written.

    Returns:
        How many files failed.

    Raises:
        ConfigError: another file ending.
        OutputError: the file cannot be written.
    """
    failures = 0
    with (
        open_atomically(path) as content,
        # Names of files may hold bytes that are no text.
        io.TextIOWrapper(content, encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        write = _writer(file, path.suffix, card)
        for result in results:
            write(result)
            failures += bool(result.error)
    return failures


def check_table(path: Path) -> None:
    """Refuse, before any work, a table whose ending is not one of `FORMATS`, by `ConfigError`."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"--out {path}: this kind of file cannot be written. Use {' or '.join(FORMATS)}.")


def _writer(file: TextIO, suffix: str, card: Card) -> Callable[[ImageResult], object]:
    if suffix == ".jsonl":
        return lambda result: file.write(json.dumps(row(result, card)) + "\n")
    columns = csv.DictWriter(file, list(row(ImageResult(), card)), lineterminator="\n")
    columns.writeheader()
    return lambda result: columns.writerow(row(result, card))
