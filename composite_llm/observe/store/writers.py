"""Which process writes which runs, so that a run whose process died can be told from one under way."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path

from composite_llm.observe.store.sqlite import transaction
from composite_llm.observe.store.timestamps import now_microseconds

HEARTBEAT_S = 5.0
"""How often a writer with runs under way says that it lives."""
SILENT_S = 60.0
"""After how long without that a writer on another machine counts as dead."""


def this_host() -> str:
    """Machine and namespace of process ids: within one, an id can be looked up; containers have their own."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def process_started(pid: int) -> str | None:
    """When a process began, as the system counts; None where it does not say. Ids are used again, starts are not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name of the program, in parentheses, may hold spaces; the state and the start are fields 3 and 22.
    rest = text.rpartition(")")[2].split()
    return None if rest[0] in _ENDED else rest[19]


_ENDED = ("Z", "X")
"""A process that nobody has waited for yet still has its id."""


def gone_writers(connection: sqlite3.Connection) -> list[str]:
    """The writers that have runs under way and are no more."""
    rows = connection.execute(
        "SELECT * FROM writers WHERE id IN (SELECT writer_id FROM runs WHERE status = 'running')"
    ).fetchall()
    return [row["id"] for row in rows if _is_gone(row)]


def remove_gone_writers(connection: sqlite3.Connection) -> None:
    """Mark what they left under way as lost, and forget them."""
    gone = [(row["id"],) for row in connection.execute("SELECT * FROM writers").fetchall() if _is_gone(row)]
    if not gone:
        return
    with transaction(connection):
        connection.executemany("UPDATE runs SET status = 'lost' WHERE status = 'running' AND writer_id = ?", gone)
        connection.executemany("DELETE FROM writers WHERE id = ?", gone)


def _is_gone(row: sqlite3.Row) -> bool:
    # On Windows `os.kill` ends a process whatever the signal.
    if row["host"] != this_host() or os.name == "nt":
        return now_microseconds() - int(row["heartbeat_us"]) > SILENT_S * 1e6
    try:
        os.kill(row["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        # It lives, as somebody else.
        return False
    return bool(process_started(row["pid"]) != row["process_started"])
