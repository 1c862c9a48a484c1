"""Scores for the prevalence that the scored files themselves suggest, beside the uncorrected ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.card import Card
from lungscope.errors import ConfigError, OutputError
from lungscope.scoring import parquet
from lungscope.scoring.listing import WHOLE
from lungscope.scoring.parts import Parts
from lungscope.stats.prevalence_shift import LabelShift, examine
from lungscope.stats.prior_correction import shift_prior
from lungscope.system.files import cannot_write, discard

if TYPE_CHECKING:
    import pyarrow

FOLDER = "adapted"
MOST = 200_000
"""Rows that the prevalence is estimated from, evenly spread; more would not narrow it."""


@dataclass(frozen=True)
class Prevalence:
    """Shares of the classes, as `summary.json` has them."""

    calibrated_for: dict[str, float]
    estimated: dict[str, dict[str, Any]]
    """Value and 95 % interval, or the reason why there is none. Every file counts as a patient of its own."""
    refused: str
    """Why nothing was corrected, in plain words; empty when it was."""


def check_adaptable(parts: Parts, card: Card) -> None:
    """See that a correction can be asked of these parts.

    Raises:
        ConfigError: they are of one shard only, which need not have the prevalence of the whole.
        BundleError: the bundle does not keep the prevalence it was calibrated for.
    """
    _ = card.prior  # asked before anything is scored
    if parts.shard != WHOLE:
        raise ConfigError(
            "--adapt-prior needs the files of all shards. Score the shards without it; then run once more with "
            "--resume --adapt-prior and without --shard."
        )


def adapt_scores(parts: Parts, out: Path, card: Card) -> Prevalence:
    """Estimate the prevalence of all assessed rows and write their corrected probabilities to `out/adapted`.

    Decisions stay with the uncorrected scores, on whose scale the operating points were chosen.

    Raises:
        BundleError: the bundle does not keep the prevalence it was calibrated for.
        OutputError: a part is damaged, or the place cannot be written.
    """
    sample = _sample(parts)
    found = examine(sample, card.prior, np.arange(len(sample)), card.validation_scores())
    folder = _empty(out / FOLDER)
    if found.adapted and not found.refused:
        for path in parts.all():
            parquet.write_tables([_corrected(path, card, found.adapted.prior)], folder / path.name)
    return _prevalence(card, found)


def _sample(parts: Parts) -> NDArray[np.float64]:
    """(N, K) probabilities of assessed rows."""
    total = sum(parquet.reader(path).metadata.num_rows for path in parts.all())
    step = max(1, -(-total // MOST))
    rows = [row[::step] for row in _assessed(parts)]
    return np.concatenate(rows) if rows else np.zeros((0, len(parts.plan.classes)))


def _assessed(parts: Parts) -> Iterator[NDArray[np.float64]]:
    names = [f"p_{name}" for name in parts.plan.classes]
    for path in parts.all():
        for columns in parquet.batches(path, [*names, "not_assessed"]):
            reasons, rows = columns["not_assessed"], zip(*(columns[name] for name in names), strict=True)
            kept = [row for row, reason in zip(rows, reasons, strict=True) if reason is None and row[0] is not None]
            yield np.array(kept).reshape(-1, len(names))


def _empty(folder: Path) -> Path:
    """The folder, without what a former correction left."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(cannot_write(folder, error)) from None
    for left in folder.glob("*.parquet"):
        discard(left)
    return folder


def _corrected(path: Path, card: Card, prior: NDArray[np.float64]) -> "pyarrow.Table":
    """A part's paths with the corrected probabilities; null where there was no score."""
    import pyarrow

    names = [f"p_{name}" for name in card.classes]
    table = parquet.reader(path).read(["path", "path_bytes", *names])
    given = np.stack([table[name].to_numpy(zero_copy_only=False) for name in names], axis=1).astype(float)
    scored = ~np.isnan(given[:, 0])
    shifted = np.full_like(given, np.nan)
    shifted[scored] = shift_prior(given[scored], card.prior, prior)
    p_abnormal = card.p_abnormal(shifted)
    corrected = {
        **({} if p_abnormal is None else {"p_abnormal": p_abnormal}),
        **dict(zip(names, shifted.T, strict=True)),
    }
    columns = {name: pyarrow.array(column, pyarrow.float32(), mask=~scored) for name, column in corrected.items()}
    return pyarrow.table({"path": table["path"], "path_bytes": table["path_bytes"], **columns})


def _prevalence(card: Card, found: LabelShift) -> Prevalence:
    estimated = {name: share.as_json() for name, share in zip(card.classes, found.shares, strict=True)}
    return Prevalence(dict(zip(card.classes, card.prior, strict=True)), estimated, found.refused)
