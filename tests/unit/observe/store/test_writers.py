"""Writers of other machines, which can only be heard: their rows are written as those machines would."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from composite_llm import TraceStore
from composite_llm.observe.store import database_file
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.store.timestamps import now_microseconds
from composite_llm.observe.store.writers import process_started
from tests.support.telling import a_trace, info

SECOND_US = 1_000_000


@pytest.fixture
def under_way(observer: StoreObserver) -> str:
    """The id of a run that goes on."""
    trace = a_trace()
    observer.run_started(info(trace))
    assert observer.flush()
    return trace.id


def as_told_by(path: Path, **changes: Any) -> None:
    """Every writer's row with these values in it."""
    named = ", ".join(f"{name} = ?" for name in changes)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE writers SET {named}", tuple(changes.values()))


def hosts(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT host FROM writers")]


@pytest.mark.parametrize(("silent_s", "status"), [(20, "running"), (90, "lost")])
def test_a_writer_of_another_machine_lives_as_long_as_it_is_heard(
    under_way: str, store: TraceStore, path: Path, silent_s: int, status: str
) -> None:
    as_told_by(path, host="elsewhere", pid=1, heartbeat_us=now_microseconds() - silent_s * SECOND_US)
    assert store.run(under_way).status == status
    assert [run.id for run in store.runs(status=status)] == [under_way]


def test_another_process_with_the_same_id_is_not_the_writer(under_way: str, store: TraceStore, path: Path) -> None:
    as_told_by(path, pid=os.getppid(), process_started="1")
    assert store.run(under_way).status == "lost"


def test_a_process_that_nobody_has_waited_for_is_over(tmp_path: Path) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("this system does not tell when a process began")
    pid = os.posix_spawn("/bin/true", ["/bin/true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert process_started(pid) is None
    os.waitpid(pid, 0)
    assert process_started(os.getpid()) == process_started(os.getpid()) is not None


def test_a_writer_that_was_taken_for_dead_comes_back(
    observer: StoreObserver, store: TraceStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A sign of life with each batch.
    monkeypatch.setattr(database_file, "HEARTBEAT_S", 0.0)
    first, second = a_trace(), a_trace()
    observer.run_started(info(first))
    assert observer.flush()
    as_told_by(path, host="elsewhere", heartbeat_us=0)
    store.prune(max_bytes=10**12)
    assert hosts(path) == []
    assert store.run(first.id).status == "lost"
    observer.run_started(info(second))
    assert observer.flush()
    assert len(hosts(path)) == 1
    assert store.run(second.id).status == "running"
    for trace in (first, second):
        observer.run_ended(info(trace), trace)
    assert observer.flush()
    assert {run.status for run in store.runs()} == {"ok"}
