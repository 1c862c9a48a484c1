"""Daily sums of what was predicted, which outlive retention and make drift cheap to tell."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, func, insert, select, update

from lungscope.bundle.validation_summary import BINS, SKETCH
from lungscope.serve.store.database import reading
from lungscope.serve.store.records import Record
from lungscope.serve.store.tables import days, feedback, predictions

DAY_US = 86_400_000_000


@dataclass(frozen=True, eq=False)
class Day:
    """Sums over one UTC day and one model; days count from 1970."""

    day: int
    images: int
    assessed: int
    positive: int
    p_abnormal_sum: float
    bins: NDArray[np.int64]
    """(BINS,), images by p_abnormal in equal bins from 0 to 1."""
    sketch_sum: NDArray[np.float64]
    """(SKETCH,)."""
    agreements: int = 0
    disagreements: int = 0


def add_to_days(connection: Connection, records: Sequence[Record]) -> None:
    """Add records to their days; the caller holds the lock of the audit log."""
    groups: dict[tuple[int, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.created_us // DAY_US, record.model_sha256].append(record)
    for (day, model), group in groups.items():
        place = (days.c.day == day) & (days.c.model_sha256 == model)
        row = connection.execute(select(days).where(place)).first()
        summed = _add(_day(row) if row else _empty(day), group)
        if row:
            connection.execute(update(days).where(place), _columns(summed))
        else:
            connection.execute(insert(days), {"day": day, "model_sha256": model, **_columns(summed)})


def read_days(engine: Engine, model: str, since_day: int) -> list[Day]:
    """The days of a model from one on, newest first, with the feedback on what is still kept of them.

    Raises:
        OutputError: the store does not answer.
    """
    wanted = select(days).where(days.c.model_sha256 == model, days.c.day >= since_day)
    voted = (
        select((predictions.c.created_us // DAY_US).label("day"), feedback.c.verdict, func.count().label("n"))
        .join_from(feedback, predictions)
        .where(predictions.c.model_sha256 == model, predictions.c.created_us >= since_day * DAY_US)
        .group_by("day", feedback.c.verdict)
    )
    with reading(engine) as connection:
        rows = connection.execute(wanted.order_by(days.c.day.desc())).all()
        votes = {(int(row.day), row.verdict): int(row.n) for row in connection.execute(voted)}
    return [_day(row, votes) for row in rows]


def _empty(day: int) -> Day:
    return Day(day, 0, 0, 0, 0.0, np.zeros(BINS, np.int64), np.zeros(SKETCH))


def _add(day: Day, records: Sequence[Record]) -> Day:
    found = [record.assessment for record in records if record.assessment]
    p_abnormal = np.array([one.ranking_score for one in found])
    counts, _ = np.histogram(p_abnormal, bins=BINS, range=(0, 1))
    sketches = [record.sketch for record in records if record.sketch is not None]
    return Day(
        day.day,
        day.images + len(records),
        day.assessed + len(found),
        day.positive + sum(bool(one.positive) for one in found),
        day.p_abnormal_sum + float(p_abnormal.sum()),
        day.bins + counts,
        day.sketch_sum + np.sum(sketches, axis=0) if sketches else day.sketch_sum,
    )


def _columns(day: Day) -> dict[str, Any]:
    counts = {name: getattr(day, name) for name in ("images", "assessed", "positive", "p_abnormal_sum")}
    return {**counts, "bins": day.bins.tolist(), "sketch_sum": day.sketch_sum.round(4).tolist()}


def _day(row: Any, votes: Mapping[tuple[int, str], int] = MappingProxyType({})) -> Day:
    return Day(
        row.day, row.images, row.assessed, row.positive, row.p_abnormal_sum,
        np.array(row.bins, np.int64), np.array(row.sketch_sum),
        votes.get((row.day, "agree"), 0), votes.get((row.day, "disagree"), 0),
    )  # fmt: skip
