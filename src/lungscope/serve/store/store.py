"""What was answered, kept in SQLite or PostgreSQL; every change is written to the audit log with it."""

import base64
import binascii
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, delete, func, insert, select, tuple_

from lungscope.errors import ConfigError
from lungscope.serve.keys import Key
from lungscope.serve.store import audit_log as auditlog
from lungscope.serve.store.audit_log import Event, Verification
from lungscope.serve.store.daily_counts import add_to_days
from lungscope.serve.store.database import open_database, reading, writing
from lungscope.serve.store.records import Feedback, Filters, Order, Page, Record, Verdict
from lungscope.serve.store.rows import to_record, to_row
from lungscope.serve.store.tables import feedback, predictions

EXPIRY_BLOCK = 500
ORDERS = {"p_abnormal": predictions.c.urgency, "created": predictions.c.created_us}


class Store:
    """Safe to use from several threads, and on PostgreSQL from several services."""

    def __init__(self, url: str, key: Key) -> None:
        """Open the database and bring its tables up to date.

        Raises:
            LungscopeError: see `open_database`.
        """
        self.engine: Engine = open_database(url)
        self.key = key
        self._lock = threading.Lock()  # writers in one process wait here rather than in the database

    def add(self, records: Sequence[Record]) -> None:
        """Keep records; when this returns they survive a crash.

        Raises:
            OutputError: nothing was kept.
        """
        events = [Event(r.created_us, r.asked_by, "created", r.id, r.digest()) for r in records]
        with self._lock, writing(self.engine) as connection:
            auditlog.append(connection, self.key, events)
            connection.execute(insert(predictions), [to_row(record) for record in records])
            add_to_days(connection, records)

    def get(self, id_: str) -> Record | None:
        """The record of an id."""
        with reading(self.engine) as connection:
            row = connection.execute(_joined().where(predictions.c.id == id_)).first()
        return to_record(row) if row else None

    def page(self, filters: Filters, *, order: Order = "-created", limit: int = 50, cursor: str = "") -> Page:
        """Some of the records that pass the filters.

        Args:
            filters: which ones.
            order: a leading minus means descending; files not assessed count as most suspicious.
            limit: at most so many.
            cursor: `next` of the page before.

        Raises:
            ConfigError: the cursor is none.
        """
        conditions = _conditions(filters)
        query = _sorted(_joined().where(*conditions), order, cursor).limit(limit + 1)
        counted = _counted(conditions)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
            total = int(connection.execute(counted).scalar_one())
        records = tuple(to_record(row) for row in rows[:limit])
        return Page(records, total, _cursor(records[-1], order) if len(rows) > limit else None)

    def walk(self, filters: Filters, order: Order = "-created") -> Iterator[Record]:
        """All records that pass the filters, in blocks, so that memory stays bounded."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.page(filters, order=order, limit=500, cursor=cursor)
            yield from page.records
            cursor = page.next

    def give_feedback(self, id_: str, verdict: Verdict | None, who: str) -> Record | None:
        """Set, change or (None) remove what a reader thinks; None when there is no such record."""
        given = None if verdict is None else Feedback(verdict, now_us(), who)
        with self._lock, writing(self.engine) as connection:
            auditlog.lock(connection)
            row = connection.execute(_joined().where(predictions.c.id == id_)).first()
            if row is None:
                return None
            connection.execute(delete(feedback).where(feedback.c.prediction_id == id_))
            if given:
                connection.execute(insert(feedback), {"prediction_id": id_, **vars(given)})
            if given or row.verdict:
                action = "feedback" if given else "feedback-removed"
                event = Event(now_us(), who, action, id_, verdict or "")
                auditlog.append(connection, self.key, [event])
        return replace(to_record(row), feedback=given)

    def delete(self, id_: str, who: str) -> bool:
        """Remove a record; the audit log keeps that it was there. False when there is none."""
        return bool(self._remove([id_], who, "deleted"))

    def expire(self, before_us: int) -> list[str]:
        """Remove all records from before a time; returns their ids."""
        expired: list[str] = []
        query = select(predictions.c.id).where(predictions.c.created_us < before_us).limit(EXPIRY_BLOCK)
        while True:
            with reading(self.engine) as connection:
                ids = list(connection.execute(query).scalars())
            if not ids:
                return expired
            expired += self._remove(ids, "retention", "expired")

    def kept(self, ids: Sequence[str]) -> set[str]:
        """Which of these ids have a record."""
        with reading(self.engine) as connection:
            return set(connection.execute(select(predictions.c.id).where(predictions.c.id.in_(ids))).scalars())

    def note(self, who: str, action: str, detail: str = "", subject: str = "") -> None:
        """Write something else to the audit log."""
        with self._lock, writing(self.engine) as connection:
            auditlog.append(connection, self.key, [Event(now_us(), who, action, subject, detail)])

    def verify(self) -> Verification:
        """See `auditlog.verify`."""
        return auditlog.verify(self.engine, self.key)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def _remove(self, ids: Sequence[str], who: str, action: str) -> list[str]:
        with self._lock, writing(self.engine) as connection:
            auditlog.lock(connection)
            found = list(connection.execute(select(predictions.c.id).where(predictions.c.id.in_(ids))).scalars())
            connection.execute(delete(feedback).where(feedback.c.prediction_id.in_(found)))
            connection.execute(delete(predictions).where(predictions.c.id.in_(found)))
            auditlog.append(connection, self.key, [Event(now_us(), who, action, id_) for id_ in found])
        return found


def now_us() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000


def _joined() -> Select[Any]:
    return select(predictions, feedback).outerjoin_from(predictions, feedback)


def _counted(conditions: list[ColumnElement[bool]]) -> Select[Any]:
    return select(func.count()).select_from(predictions).outerjoin(feedback).where(*conditions)


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    p, found = predictions.c, list[ColumnElement[bool]]()
    if filters.status:
        found.append(p.finding.is_not(None) if filters.status == "assessed" else p.finding.is_(None))
    if filters.feedback:
        wanted = None if filters.feedback == "none" else filters.feedback
        found.append(feedback.c.verdict.is_not_distinct_from(wanted))
    # PostgreSQL's text has no NUL, so nothing stored can match one.
    for column, text in ((p.finding, filters.finding), (p.patient_hash, filters.patient_hash)):
        if text is not None:
            found.append(column == text.replace("\0", "\ufffd"))
    for column, low, high in (
        (p.created_us, filters.since_us, filters.until_us),
        (p.p_abnormal, filters.min_p_abnormal, filters.max_p_abnormal),
    ):
        if low is not None:
            found.append(column >= low)
        if high is not None:
            found.append(column <= high)
    return found


def _sorted(query: Select[Any], order: Order, cursor: str) -> Select[Any]:
    column, identity = ORDERS[order.lstrip("-")], predictions.c.id
    descending = order.startswith("-")
    if cursor:
        place, here = tuple_(column, identity), _read_cursor(cursor, order)
        query = query.where(place < here if descending else place > here)
    keys = (column.desc(), identity.desc()) if descending else (column, identity)
    return query.order_by(*keys)


def _cursor(record: Record, order: Order) -> str:
    value = record.urgency if order.endswith("p_abnormal") else record.created_us
    return base64.urlsafe_b64encode(json.dumps([order, value, record.id]).encode()).decode()


def _read_cursor(cursor: str, order: Order) -> Any:
    try:
        used, value, id_ = json.loads(base64.urlsafe_b64decode(cursor))
        number = float(value) if order.endswith("p_abnormal") else int(value)
        if used == order and abs(number) < 2**62 and isinstance(id_, str) and id_.isalnum():
            return tuple_(number, id_)
    except (ValueError, TypeError, OverflowError, binascii.Error):
        pass
    raise ConfigError("The cursor is none of this list and order. Take `next` of the page before.")
