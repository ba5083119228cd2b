from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from composite_llm import TraceStore
from tests.support.interpreter import REPOSITORY

PRELUDE = """
import os, signal, sys
from pathlib import Path
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import TelemetrySettings
from tests.support.telling import a_call, a_trace, info, tell, tell_call

path, name = Path(sys.argv[1]), sys.argv[2]
observer = StoreObserver(TelemetrySettings(path=path))

def tell_named(run_id=None):
    trace = a_trace([a_call(1), a_call(2)], **({"id": run_id} if run_id else {}))
    tell(observer, trace, {"session_id": name})
    return trace.id
"""


def started(source: str, path: Path, name: str = "p") -> subprocess.Popen[str]:
    """A process that tells runs, on the same store as others."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(source), str(path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """What it printed."""
    out, err = process.communicate(timeout=100)
    assert process.returncode == code, err
    return out


def intact(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def test_ten_processes_that_write_200_runs_each_lose_nothing(path: Path, store: TraceStore) -> None:
    processes = [started("for _ in range(200): tell_named()", path, f"p{number}") for number in range(10)]
    for process in processes:
        ended(process)
    sums = {row.group: row for row in store.usage(by="session")}
    assert {name: row.runs for name, row in sums.items()} == {f"p{number}": 200 for number in range(10)}
    (total,) = store.usage(by="all")
    assert (total.runs, total.calls, total.attempts, total.total_tokens) == (2000, 4000, 4000, 60_000)
    assert total.cost_usd == 1000.0
    assert store.runs(status="running") == []
    assert intact(path)


def test_what_was_told_last_is_written_when_the_program_ends(path: Path, store: TraceStore) -> None:
    run_id = ended(started("print(tell_named()); sys.exit()", path)).strip()
    assert store.run(run_id).status == "ok"


def test_a_killed_process_loses_at_most_its_last_batch_and_its_runs_are_lost(path: Path, store: TraceStore) -> None:
    process = started(
        """
        for run_id in ("one", "two"):
            tell_named(run_id)
        trace = a_trace([a_call(1), a_call(2)], id="three")
        observer.run_started(info(trace))
        tell_call(observer, info(trace), trace.calls[0])
        assert observer.flush()
        tell_named("four")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    ended(process, -signal.SIGKILL)
    assert intact(path)
    found = {run.id: run for run in store.runs()}
    assert {"one", "two", "three"} <= found.keys()
    assert (found["three"].status, found["three"].calls, found["three"].cost_usd) == ("lost", 1, 0.25)
    assert found["three"].error == "its process ended before the run did"
    assert [run.id for run in store.runs(status="lost")] == ["three"]
    assert store.runs(status="running") == []


def test_a_process_killed_while_it_writes_leaves_a_whole_file(path: Path, store: TraceStore) -> None:
    process = started("while observer.flush(): print(tell_named(), flush=True)", path)
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(20)]
    process.kill()
    process.communicate()
    assert intact(path)
    # The one that was told last may have been under way to the file.
    assert set(told[:-1]) <= {run.id for run in store.runs(limit=None)}


def test_the_next_writer_marks_what_a_dead_one_left(path: Path, store: TraceStore) -> None:
    source = """
        observer.run_started(info(a_trace(id="gone")))
        assert observer.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended(started(source, path), -signal.SIGKILL)
    ended(started("tell_named()", path))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT status FROM runs WHERE id = 'gone'").fetchone() == ("lost",)
    assert store.run("gone").status == "lost"


def test_a_run_of_a_living_process_is_not_lost_when_another_one_looks(path: Path, store: TraceStore) -> None:
    process = started(
        'observer.run_started(info(a_trace(id="here"))); observer.flush(); print("ready", flush=True); sys.stdin.read()',
        path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        ended(started("tell_named()", path))
        assert store.run("here").status == "running"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_keeps_the_runs_of_both_and_none_twice(path: Path, store: TraceStore) -> None:
    source = """
        import multiprocessing
        def child():
            for _ in range(3):
                tell_named()
        observer.flush()
        tell_named()
        forked = multiprocessing.get_context("fork").Process(target=child)
        forked.start()
        tell_named()
        forked.join()
        assert forked.exitcode == 0
        tell_named()
    """
    ended(started(source, path))
    (total,) = store.usage(by="session")
    assert (total.runs, total.calls) == (6, 12)
    assert intact(path)


def test_processes_that_meet_a_corrupt_file_move_it_once_and_lose_nothing(path: Path, store: TraceStore) -> None:
    path.write_bytes(b"this was a database once" * 1000)
    for process in [started("for _ in range(20): tell_named()", path, f"p{number}") for number in range(4)]:
        ended(process)
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1
    assert [row.runs for row in store.usage(by="session")] == [20] * 4


def test_a_full_disk_keeps_runs_waiting_and_they_are_written_when_there_is_room(path: Path, store: TraceStore) -> None:
    source = """
        import logging, resource
        logging.basicConfig(stream=sys.stdout)
        told = [tell_named()]
        assert observer.flush()
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        while observer.flush():
            told.append(tell_named())
        told.append(tell_named())
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert observer.flush()
        print(len(told))
    """
    out = ended(started(source, path))
    assert "cannot be written" in out
    assert "runs go on" in out
    (total,) = store.usage(by="all")
    assert total.runs == int(out.split()[-1]) >= 3
    assert intact(path)
