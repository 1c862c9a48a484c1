"""Every test here runs on SQLite and on a real PostgreSQL."""

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from lungscope.errors import ConfigError, OutputError
from lungscope.serve.keys import open_key
from lungscope.serve.store.daily_counts import read_days
from lungscope.serve.store.database import open_database
from lungscope.serve.store.filters import PageQuery
from lungscope.serve.store.records import Record, from_us
from lungscope.serve.store.store import Store
from tests.serve.conftest import record


def ids(store: Store, **query: object) -> list[str]:
    return [one.id for one in store.page(PageQuery.model_validate(query)).records]


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    kept = record(1 / 3, file="α β.jpeg", patient_hash="c" * 64)
    store.add([kept, record(None)])
    found = store.get(kept.id)
    assert found is not None
    assert found.digest() == kept.digest()
    assert found.assessment == kept.assessment
    assert found.heatmap is not None
    assert found.heatmap.tolist() == kept.heatmap.tolist()  # type: ignore[union-attr]
    assert store.get("0" * 32) is None


def test_a_record_is_kept_once_or_the_whole_batch_is_refused(store: Store) -> None:
    kept = record()
    store.add([kept])
    with pytest.raises(OutputError, match="IntegrityError|UniqueViolation"):
        store.add([record(), kept])
    assert store.page(PageQuery()).total == 1
    assert store.verify().faults == ()


def test_a_worklist_is_sorted_by_probability_with_unassessed_files_first(store: Store) -> None:
    rows = [record(s) for s in (0.2, 0.9, None, 0.5)]
    store.add(rows)
    assert ids(store, order="-p_abnormal") == [rows[i].id for i in (2, 1, 3, 0)]
    assert ids(store, order="p_abnormal") == [rows[i].id for i in (0, 3, 1, 2)]


@pytest.mark.parametrize("order", ["-p_abnormal", "p_abnormal", "-created", "created"])
def test_pages_hold_every_record_once_even_when_all_are_equal(store: Store, order: str) -> None:
    rows = [replace(record(0.5), created_us=5) for _ in range(7)] + [record(0.1)]
    store.add(rows)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = store.page(PageQuery.model_validate({"order": order, "limit": 3, "cursor": cursor}))
        seen += [one.id for one in page.records]
        cursor = page.next
        assert page.total == 8
    assert sorted(seen) == sorted(one.id for one in rows)


@pytest.mark.parametrize("cursor", ["x", "W10=", "WyItY3JlYXRlZCIsIDFlNDAwLCAiYSJd", "é", "WzEsMl0="])
def test_a_foreign_cursor_is_refused_with_the_remedy(store: Store, cursor: str) -> None:
    with pytest.raises(ConfigError, match="Take `next`"):
        store.page(PageQuery(cursor=cursor))


def test_filters_select(store: Store) -> None:
    low, high, bad = record(0.2, patient_hash="p1"), record(0.8, created_us=10), record(None)
    store.add([low, high, bad])
    store.give_feedback(high.id, "disagree", "ann")
    for chosen, expected in (
        ({"status": "not_assessed"}, {bad.id}),
        ({"status": "assessed"}, {low.id, high.id}),
        ({"finding": "NORMAL"}, {low.id}),
        ({"finding": "a\0b"}, set()),
        ({"feedback": "disagree"}, {high.id}),
        ({"feedback": "agree"}, set()),
        ({"feedback": "none"}, {low.id, bad.id}),
        ({"patient_hash": "p1"}, {low.id}),
        ({"until": from_us(10)}, {high.id}),
        ({"since": from_us(11)}, {low.id, bad.id}),
        ({"min_p_abnormal": 0.5}, {high.id}),
        ({"max_p_abnormal": 0.5}, {low.id}),
    ):
        assert set(ids(store, **chosen)) == expected, chosen  # type: ignore[arg-type]
        assert store.page(PageQuery.model_validate(chosen)).total == len(expected)


def test_feedback_is_replaced_and_taken_back(store: Store) -> None:
    kept = record()
    store.add([kept])
    for verdict in ("agree", "disagree"):
        given = store.give_feedback(kept.id, verdict, "ann")  # type: ignore[arg-type]
        assert given is not None
        assert given.feedback is not None
        assert (given.feedback.verdict, given.feedback.given_by) == (verdict, "ann")
    store.give_feedback(kept.id, None, "bob")
    found = store.get(kept.id)
    assert found is not None
    assert found.feedback is None
    assert store.give_feedback("0" * 32, "agree", "ann") is None
    assert store.verify().faults == ()


def test_deletion_leaves_its_trace_in_the_log(store: Store) -> None:
    kept = record()
    store.add([kept])
    store.give_feedback(kept.id, "agree", "ann")
    assert store.delete(kept.id, "ann")
    assert not store.delete(kept.id, "ann")
    assert store.get(kept.id) is None
    assert store.verify().rows == 3
    assert store.verify().faults == ()


def test_retention_removes_what_is_older_and_keeps_the_days(store: Store) -> None:
    old, new = record(created_us=1000), record()
    store.add([old, new])
    assert store.expire(2000) == [old.id]
    assert store.page(PageQuery()).total == 1
    assert [day.images for day in read_days(store.engine, "a" * 64, 0)] == [1, 1]
    assert store.verify().faults == ()


def test_days_sum_what_was_predicted(store: Store) -> None:
    rows = [record(0.95), record(0.25), record(None)]
    store.add(rows[:1])
    store.add(rows[1:])
    store.give_feedback(rows[0].id, "disagree", "ann")
    (day,) = read_days(store.engine, "a" * 64, 0)
    assert (day.images, day.assessed, day.positive) == (3, 2, 1)
    assert day.p_abnormal_sum == pytest.approx(1.2)
    assert day.bins.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert day.sketch_sum.tolist() == [2.0 * n for n in range(16)]
    assert (day.agreements, day.disagreements) == (0, 1)
    assert read_days(store.engine, "other", 0) == []


def test_the_log_refuses_to_be_changed(store: Store) -> None:
    store.add([record()])
    for statement in ("UPDATE audit SET who = 'x'", "DELETE FROM audit"):
        with pytest.raises(DatabaseError, match="append only"), store.engine.begin() as connection:
            connection.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit SET who = 'x' WHERE seq = 2", "row 2: changed"),
        ("DELETE FROM audit WHERE seq = 2", "row 2 to 2: missing"),
        ("UPDATE predictions SET p_abnormal = 0.1", "not as it was answered"),
        ("DELETE FROM predictions WHERE urgency > 1", "removed without a trace"),
        ("UPDATE feedback SET verdict = 'disagree'", "its feedback was changed"),
    ],
)
def test_tampering_is_found(store: Store, statement: str, fault: str) -> None:
    rows = [record(), record(None), record()]
    store.add(rows)
    store.give_feedback(rows[0].id, "agree", "ann")
    assert store.verify().faults == ()
    with store.engine.begin() as connection:
        if store.engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))  # no triggers
        else:
            connection.execute(text("DROP TRIGGER audit_no_update"))
            connection.execute(text("DROP TRIGGER audit_no_delete"))
        connection.execute(text(statement))
    assert any(fault in one for one in store.verify().faults), store.verify().faults


def test_another_key_does_not_verify(store: Store, database: str, tmp_path: Path) -> None:
    store.add([record()])
    other = Store(database, open_key(tmp_path / "other"))
    assert "chained with another key" in other.verify().faults[0]
    other.close()


def test_many_writers_keep_one_chain(store: Store, database: str, tmp_path: Path) -> None:
    second = Store(database, open_key(tmp_path / "key"))  # as another service on the same database
    rows: list[list[Record]] = [[record() for _ in range(5)] for _ in range(8)]
    threads = [threading.Thread(target=[store, second][i % 2].add, args=(batch,)) for i, batch in enumerate(rows)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    second.close()
    found = store.verify()
    assert (found.rows, found.predictions, found.faults) == (40, 40, ())
    assert [day.images for day in read_days(store.engine, "a" * 64, 0)] == [40]


def test_opening_again_keeps_everything(store: Store, database: str, tmp_path: Path) -> None:
    store.add([record()])
    again = Store(database, open_key(tmp_path / "key"))
    assert again.page(PageQuery()).total == 1
    again.close()


def test_a_store_of_a_later_version_is_refused(database: str, tmp_path: Path) -> None:
    first = Store(database, open_key(tmp_path))
    with first.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    first.close()
    with pytest.raises(OutputError, match="Upgrade Lungscope"):
        Store(database, open_key(tmp_path))


def test_migrations_make_the_tables_that_the_code_uses(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from lungscope.serve.store.tables import metadata

    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("url", ["nonsense", "mysql://a/b", "sqlite+nope:///x", "postgresql+psycopg2://a/b"])
def test_other_databases_are_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///FILE or postgresql://"):
        open_database(url)


def test_a_database_that_cannot_be_reached_is_an_error_without_its_password(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/none/x.db", "postgresql://u:geheim@127.0.0.1:1/x"):
        with pytest.raises(OutputError, match="Check the database") as raised:
            open_database(url)
        assert "geheim" not in str(raised.value)


def test_commits_reach_the_disk(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'a.db'}", open_key(tmp_path))
    with store.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    store.add([record()])
    other = sqlite3.connect(tmp_path / "a.db")
    assert other.execute("SELECT count(*) FROM predictions").fetchone() == (1,)
    other.close()
    store.close()
