"""The audit log: rows that are only ever added, each chained to the one before by a keyed hash."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, insert, select, text

from lungscope.serve.keys import Key
from lungscope.serve.store.database import reading
from lungscope.serve.store.query import joined
from lungscope.serve.store.records import Record
from lungscope.serve.store.rows import to_record
from lungscope.serve.store.tables import audit

GENESIS = "0" * 64
BLOCK = 1000


@dataclass(frozen=True)
class Event:
    """Something that happened; no event names a patient."""

    at_us: int
    who: str
    action: str
    """created, feedback, feedback-removed, deleted, expired, exported, started, stopped"""
    subject: str = ""
    """Id of the prediction, where it is about one."""
    detail: str = ""
    """Digest of a created record, verdict of a feedback, or a few plain words."""


@dataclass(frozen=True)
class Verification:
    """What checking the whole log found."""

    rows: int
    head: str
    """Hash of the last row. Noted elsewhere, it also proves later that no rows were cut off the end."""
    predictions: int
    faults: tuple[str, ...]


def append(connection: Connection, key: Key, events: Iterable[Event]) -> None:
    """Add rows within a writing transaction; nobody else adds any until it ends."""
    lock(connection)
    last = connection.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    seq, previous = (last.seq, last.hash) if last else (0, GENESIS)
    rows = []
    for event in events:
        seq += 1
        previous = key.link(previous, _content(seq, event))
        rows.append({"seq": seq, **vars(event), "hash": previous})
    if rows:
        connection.execute(insert(audit), rows)


def lock(connection: Connection) -> None:
    """Let no other transaction add rows; readers go on. SQLite's writers hold its only lock already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE"))


def verify(engine: Engine, key: Key) -> Verification:
    """Check that no row was changed, removed or slipped in, and that every prediction is as it was answered.

    Raises:
        OutputError: the store does not answer.
    """
    with reading(engine) as connection:
        faults: list[str] = []
        digests: dict[str, str] = {}
        verdicts: dict[str, str] = {}
        rows, head = 0, GENESIS
        for event, fault, hash_ in _walk(connection, key):
            rows, head = rows + 1, hash_
            if fault:
                faults.append(fault)
            _follow(event, digests, verdicts)
        expected = len(digests)
        faults += _compare(connection, digests, verdicts)
        return Verification(rows, head, expected, tuple(faults))


def _content(seq: int, event: Event) -> str:
    return json.dumps([seq, event.at_us, event.who, event.action, event.subject, event.detail])


def _walk(connection: Connection, key: Key) -> Iterator[tuple[Event, str, str]]:
    previous, expected = GENESIS, 0
    query = select(audit).order_by(audit.c.seq).execution_options(yield_per=BLOCK)
    for row in connection.execute(query):
        expected += 1
        event = Event(row.at_us, row.who, row.action, row.subject, row.detail)
        fault = ""
        if row.seq != expected:
            fault, expected = f"row {expected} to {row.seq - 1}: missing", row.seq
        elif row.hash != key.link(previous, _content(row.seq, event)):
            fault = f"row {row.seq}: changed, or chained with another key"
        previous = row.hash
        yield event, fault, previous


def _follow(event: Event, digests: dict[str, str], verdicts: dict[str, str]) -> None:
    if event.action == "created":
        digests[event.subject] = event.detail
    elif event.action == "feedback":
        verdicts[event.subject] = event.detail
    elif event.action in ("deleted", "expired", "feedback-removed"):
        verdicts.pop(event.subject, None)
        if event.action != "feedback-removed":
            digests.pop(event.subject, None)


def _compare(connection: Connection, digests: dict[str, str], verdicts: dict[str, str]) -> list[str]:
    faults = []
    for row in connection.execute(joined().execution_options(yield_per=BLOCK)):
        record: Record = to_record(row)
        if digests.pop(record.id, None) != record.digest():
            faults.append(f"prediction {record.id}: not as it was answered")
        verdict = record.feedback.verdict if record.feedback else None
        if verdicts.pop(record.id, None) != verdict:
            faults.append(f"prediction {record.id}: its feedback was changed")
    faults += [f"prediction {id_}: removed without a trace" for id_ in digests]
    return faults
