from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from composite_llm import TraceStore
from composite_llm.observe.store.store_observer import StoreObserver
from tests.support.telling import a_trace, tell

FIRST_SCHEMA = Path(__file__).with_name("schema_1.sql")
"""As the first version made it, with three runs; `history` and `spend` are not in it."""


def old_file(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_SCHEMA.read_text(encoding="utf-8"))
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def tables(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'index')")}


def test_an_older_file_is_read_with_all_that_it_holds(path: Path, store: TraceStore) -> None:
    old_file(path)
    assert [(run.id, run.status, run.cost_usd) for run in store.runs(status="ok")] == [
        ("r2", "ok", 0.5),
        ("r1", "ok", 0.25),
    ]
    assert [call.name for call in store.trace("r2").calls] == ["openai/gpt-4o"]
    assert store.spent_usd("wise", datetime(2026, 11, 1, tzinfo=UTC)) == 0.75


def test_an_older_file_is_written_on(path: Path, store: TraceStore, observer: StoreObserver) -> None:
    old_file(path)
    trace = tell(observer, a_trace())
    assert observer.flush()
    assert {run.id for run in store.runs()} == {"r1", "r2", "r3", trace.id}
    assert store.prune(max_bytes=0).runs == 4
    (total,) = store.usage(by="all")
    assert (total.runs, total.attempts, total.known_cost_usd) == (4, 3, 1.0)


def test_an_older_file_becomes_what_a_new_one_is(path: Path, store: TraceStore, observer: StoreObserver) -> None:
    old_file(path)
    store.runs()
    new = path.with_name("new.db")
    tell(made := StoreObserver(observer.settings.model_copy(update={"path": new})), a_trace())
    made.close()
    assert tables(path) == tables(new)
