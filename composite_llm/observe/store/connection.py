"""Opening the file of a telemetry store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from composite_llm.observe.store.sqlite import StoreUnavailable
from composite_llm.observe.store.tables import migrate

BUSY_TIMEOUT_S = 5.0
"""How long to wait for another process that writes."""


def connect(path: Path, *, create: bool = False, busy_timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """A connection with the current schema; each statement is its own transaction unless one is begun.

    Args:
        path: The file.
        create: Make the file, and the folders above it, if they are not there.
        busy_timeout_s: How long a statement waits for a lock.

    Raises:
        StoreUnavailable: There is no file and none may be made, or it was written by a later release.
        sqlite3.Error: It cannot be used.
    """
    if create:
        # Who asked what is nobody else's business.
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(mode=0o600)
    elif not path.is_file():
        message = "there is no such file"
        raise StoreUnavailable(message)
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        if create:
            # So that room which pruning made is given back; counts for a file without tables alone.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        # Readers and the writer do not wait for each other; a power cut may take the last commits, never the file.
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection
