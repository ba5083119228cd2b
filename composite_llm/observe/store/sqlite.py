"""What every part of the telemetry store needs of SQLite: one transaction, and why the file could not be used."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator


class StoreUnavailable(Exception):  # a condition, not a mistake
    """The file cannot be opened, read or written; the message says why, without a path's contents."""


class UnknownRun(LookupError):
    """No run has that id, or several begin with it."""


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all of it or nothing; other writers wait from the start on."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
