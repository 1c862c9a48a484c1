"""What was answered, kept in SQLite or PostgreSQL; every change is written to the audit log with it."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import Engine, delete, insert, select

from lungscope.serve.keys import Key
from lungscope.serve.store import audit_log
from lungscope.serve.store.audit_log import Event, Verification
from lungscope.serve.store.daily_counts import add_to_days
from lungscope.serve.store.database import open_database, reading, writing
from lungscope.serve.store.filters import Filters, PageQuery
from lungscope.serve.store.query import count, cursor, joined
from lungscope.serve.store.query import page as select_page
from lungscope.serve.store.records import Feedback, Page, Record, Verdict
from lungscope.serve.store.rows import to_record, to_row
from lungscope.serve.store.tables import feedback, predictions

BLOCK = 500
"""Records that are read or removed at once."""


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
            audit_log.append(connection, self.key, events)
            connection.execute(insert(predictions), [to_row(record) for record in records])
            add_to_days(connection, records)

    def get(self, id_: str) -> Record | None:
        """The record of an id."""
        with reading(self.engine) as connection:
            row = connection.execute(joined().where(predictions.c.id == id_)).first()
        return to_record(row) if row else None

    def page(self, query: PageQuery) -> Page:
        """Some of the records that pass the filters.

        Raises:
            ConfigError: the cursor is none of this order.
        """
        wanted = select_page(query)
        with reading(self.engine) as connection:
            rows = connection.execute(wanted).all()
            total = int(connection.execute(count(query)).scalar_one())
        records = tuple(to_record(row) for row in rows[: query.limit])
        return Page(records, total, cursor(records[-1], query.order) if len(rows) > query.limit else None)

    def walk(self, filters: Filters) -> Iterator[Record]:
        """All records that pass the filters, in blocks, so that memory stays bounded."""
        query = PageQuery(**filters.model_dump(exclude_unset=True), limit=BLOCK)
        while True:
            page = self.page(query)
            yield from page.records
            if page.next is None:
                return
            query = query.model_copy(update={"cursor": page.next})

    def give_feedback(self, id_: str, verdict: Verdict | None, who: str) -> Record | None:
        """Set, change or (None) remove what a reader thinks; None when there is no such record."""
        given = None if verdict is None else Feedback(verdict, now_us(), who)
        with self._lock, writing(self.engine) as connection:
            audit_log.lock(connection)
            row = connection.execute(joined().where(predictions.c.id == id_)).first()
            if row is None:
                return None
            connection.execute(delete(feedback).where(feedback.c.prediction_id == id_))
            if given:
                connection.execute(insert(feedback), {"prediction_id": id_, **vars(given)})
            if given or row.verdict:
                action = "feedback" if given else "feedback-removed"
                event = Event(now_us(), who, action, id_, verdict or "")
                audit_log.append(connection, self.key, [event])
        return replace(to_record(row), feedback=given)

    def delete(self, id_: str, who: str) -> bool:
        """Remove a record; the audit log keeps that it was there. False when there is none."""
        return bool(self._remove([id_], who, "deleted"))

    def expire(self, before_us: int) -> list[str]:
        """Remove all records from before a time; returns their ids."""
        expired: list[str] = []
        query = select(predictions.c.id).where(predictions.c.created_us < before_us).limit(BLOCK)
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
            audit_log.append(connection, self.key, [Event(now_us(), who, action, subject, detail)])

    def verify(self) -> Verification:
        """See `audit_log.verify`."""
        return audit_log.verify(self.engine, self.key)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def _remove(self, ids: Sequence[str], who: str, action: str) -> list[str]:
        with self._lock, writing(self.engine) as connection:
            audit_log.lock(connection)
            found = list(connection.execute(select(predictions.c.id).where(predictions.c.id.in_(ids))).scalars())
            connection.execute(delete(feedback).where(feedback.c.prediction_id.in_(found)))
            connection.execute(delete(predictions).where(predictions.c.id.in_(found)))
            audit_log.append(connection, self.key, [Event(now_us(), who, action, id_) for id_ in found])
        return found


def now_us() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000
