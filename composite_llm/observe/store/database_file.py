"""The file as its writer sees it: opened when first needed, opened anew when it is another one, moved aside when broken."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from composite_llm.observe.store.connection import connect
from composite_llm.observe.store.corruption import is_corrupt, set_aside
from composite_llm.observe.store.timestamps import now_microseconds
from composite_llm.observe.store.writers import HEARTBEAT_S, process_started, remove_gone_writers, this_host


class WriterFile:
    """One writer's connection.

    Args:
        path: The file.
        writer_id: Who writes.
        renewed: Called when the file is another one than before.
    """

    def __init__(self, path: Path, writer_id: str, renewed: Callable[[], None]) -> None:
        self.path = path
        self._writer_id = writer_id
        self._renewed = renewed
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._next_beat_s = 0.0

    def use(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Do some work on the file; once more on a new file if this one turns out to be corrupt.

        Raises:
            StoreUnavailable: The file was written by a later release.
            OSError: It cannot be made.
            sqlite3.Error: It is locked, or cannot be written.
        """
        try:
            work(self._opened())
        except sqlite3.Error as error:
            if not is_corrupt(error):
                raise
            self.close()
            set_aside(self.path)
            work(self._opened())

    def close(self) -> None:
        """Give the file up until it is used again."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def abandon(self) -> sqlite3.Connection | None:
        """The connection that must be kept and never be used: it is another process's."""
        connection, self._connection, self._identity = self._connection, None, None
        return connection

    def beat_when_due(self, connection: sqlite3.Connection) -> None:
        """Say that this writer lives; to be done before it says that a run is under way."""
        if time.monotonic() >= self._next_beat_s:
            self._beat(connection)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity == _identity(self.path):
            return self._connection
        # Somebody moved or removed it; what is written to it now, nobody would find.
        self.close()
        connection = connect(self.path, create=True)
        try:
            remove_gone_writers(connection)
            self._beat(connection)
        except BaseException:
            connection.close()
            raise
        identity = _identity(self.path)
        if identity != self._identity:
            self._renewed()
        self._connection, self._identity = connection, identity
        return connection

    def _beat(self, connection: sqlite3.Connection) -> None:
        # Whole, since another machine may have taken a writer that was idle for dead, and removed it.
        pid = os.getpid()
        connection.execute(
            "INSERT OR REPLACE INTO writers VALUES (?, ?, ?, ?, ?)",
            (self._writer_id, this_host(), pid, process_started(pid), now_microseconds()),
        )
        self._next_beat_s = time.monotonic() + HEARTBEAT_S


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
