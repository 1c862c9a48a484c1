"""Filters as SQL, and cursors: where a page ended and the next begins."""

import base64
import binascii
import json
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, tuple_

from lungscope.errors import ConfigError
from lungscope.serve.store.filters import Filters, Order, PageQuery
from lungscope.serve.store.records import Record, to_us
from lungscope.serve.store.tables import feedback, predictions

ORDERS = {"p_abnormal": predictions.c.urgency, "created": predictions.c.created_us}


def joined() -> Select[Any]:
    """All records with their feedback."""
    return select(predictions, feedback).outerjoin_from(predictions, feedback)


def count(filters: Filters) -> Select[Any]:
    """How many records pass."""
    return select(func.count()).select_from(predictions).outerjoin(feedback).where(*_conditions(filters))


def page(query: PageQuery) -> Select[Any]:
    """The records of a page and, where there is another page, the first of that.

    Raises:
        ConfigError: the cursor is none of this order.
    """
    column, identity = ORDERS[query.order.lstrip("-")], predictions.c.id
    descending = query.order.startswith("-")
    found = joined().where(*_conditions(query)).limit(query.limit + 1)
    if query.cursor:
        place, here = tuple_(column, identity), _read_cursor(query.cursor, query.order)
        found = found.where(place < here if descending else place > here)
    return found.order_by(*((column.desc(), identity.desc()) if descending else (column, identity)))


def cursor(record: Record, order: Order) -> str:
    """Where a page ends that ends with `record`."""
    value = record.urgency if order.endswith("p_abnormal") else record.created_us
    return base64.urlsafe_b64encode(json.dumps([order, value, record.id]).encode()).decode()


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
    since, until = (time and to_us(time) for time in (filters.since, filters.until))
    for column, low, high in (
        (p.created_us, since, until),
        (p.p_abnormal, filters.min_p_abnormal, filters.max_p_abnormal),
    ):
        if low is not None:
            found.append(column >= low)
        if high is not None:
            found.append(column <= high)
    return found


def _read_cursor(cursor: str, order: Order) -> Any:
    try:
        used, value, id_ = json.loads(base64.urlsafe_b64decode(cursor))
        number = float(value) if order.endswith("p_abnormal") else int(value)
        if used == order and abs(number) < 2**62 and isinstance(id_, str) and id_.isalnum():
            return tuple_(number, id_)
    except (ValueError, TypeError, OverflowError, binascii.Error):
        pass
    raise ConfigError("The cursor is none of this list and order. Take `next` of the page before.")
