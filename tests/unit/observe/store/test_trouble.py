from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from composite_llm import TraceStore
from composite_llm.observe.store import StoreUnavailable, writer
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import TelemetrySettings
from tests.support.telling import a_trace, info, tell


def test_a_locked_file_keeps_runs_waiting_and_none_is_lost(
    observer: StoreObserver, store: TraceStore, path: Path
) -> None:
    first = tell(observer, a_trace())
    assert observer.flush()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        waiting = [tell(observer, a_trace()) for _ in range(3)]
        assert not observer.flush(timeout_s=0.05)
        assert [run.id for run in store.runs()] == [first.id]
        other.execute("ROLLBACK")
    assert observer.flush()
    assert {run.id for run in store.runs()} == {trace.id for trace in (first, *waiting)}


def test_a_corrupt_file_is_moved_aside_and_a_new_one_begun(
    observer: StoreObserver, store: TraceStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(garbage := b"no database " * 500)
    trace = tell(observer, a_trace())
    assert observer.flush()
    assert store.run(trace.id).status == "ok"
    (aside,) = path.parent.glob("traces.db.corrupt-*")
    assert aside.read_bytes() == garbage
    assert f"{path} is corrupt; it was moved to {aside.name}, and a new one begun" in caplog.text


def test_a_file_that_breaks_while_it_is_in_use_is_replaced_too(
    observer: StoreObserver, store: TraceStore, path: Path
) -> None:
    for _ in range(50):
        tell(observer, a_trace())
    observer.close()
    whole = path.read_bytes()
    # The header stays, so that the file still looks like one.
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    trace = tell(observer, a_trace())
    assert observer.flush()
    assert [run.id for run in store.runs()] == [trace.id]
    assert len(list(path.parent.glob("traces.db.corrupt-*"))) == 1


def test_a_run_under_way_goes_on_in_the_new_file(observer: StoreObserver, store: TraceStore, path: Path) -> None:
    trace = a_trace()
    observer.run_started(info(trace, {"user_id": "ada"}))
    observer.flush()
    observer.close()
    path.write_bytes(b"broken" * 1000)
    observer.run_ended(info(trace), trace)
    assert observer.flush()
    assert (store.run(trace.id).status, store.run(trace.id).user) == ("ok", "ada")


def test_a_reader_does_not_move_a_corrupt_file(store: TraceStore, path: Path) -> None:
    path.write_bytes(b"no database " * 500)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        store.runs()
    assert [file.name for file in path.parent.iterdir()] == ["traces.db"]


def test_a_file_that_somebody_removed_is_begun_anew(observer: StoreObserver, store: TraceStore, path: Path) -> None:
    tell(observer, a_trace())
    assert observer.flush()
    for file in path.parent.glob("traces.db*"):
        file.unlink()
    trace = tell(observer, a_trace())
    assert observer.flush()
    assert [run.id for run in store.runs()] == [trace.id]


def test_a_place_where_no_file_can_be_is_said_once_and_harms_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a directory")
    observer = StoreObserver(TelemetrySettings(path=tmp_path / "file" / "traces.db"))
    for _ in range(3):
        tell(observer, a_trace())
        assert not observer.flush()
    assert caplog.text.count("cannot be written") == 1
    observer.close()


def test_a_file_of_a_later_release_is_left_alone(
    observer: StoreObserver, store: TraceStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    tell(observer, a_trace())
    assert not observer.flush()
    assert "its schema has version 99" in caplog.text
    with pytest.raises(StoreUnavailable, match="upgrade composite_llm"):
        store.runs()
    assert [file.name for file in path.parent.glob("*corrupt*")] == []


def test_another_programs_database_is_left_alone(
    observer: StoreObserver, store: TraceStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    tell(observer, a_trace())
    assert not observer.flush()
    assert "it is another program's database" in caplog.text
    with pytest.raises(StoreUnavailable, match="another program's database"):
        store.runs()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_what_waits_too_long_is_given_up_from_its_oldest_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "MAX_ITEMS", 6)
    monkeypatch.setattr(writer, "COMPLAIN_EVERY_S", 0.0)
    blocked = tmp_path / "here"
    blocked.write_text("not a directory")
    observer = StoreObserver(TelemetrySettings(path=blocked / "traces.db"))
    traces = [tell(observer, a_trace()) for _ in range(4)]
    assert not observer.flush()
    assert "6 entries wait, 6 were given up" in caplog.text
    blocked.unlink()
    assert observer.flush()
    # A run is told in three entries.
    assert {run.id for run in TraceStore(blocked / "traces.db").runs()} == {trace.id for trace in traces[2:]}
    observer.close()


def test_what_is_told_after_the_end_is_written_all_the_same(observer: StoreObserver, store: TraceStore) -> None:
    observer.close()
    trace = tell(observer, a_trace())
    assert observer.flush()
    assert store.run(trace.id).status == "ok"
