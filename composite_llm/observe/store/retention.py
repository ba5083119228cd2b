"""Removes runs that are too old, or too many for the file; what they summed up to stays."""

from __future__ import annotations

import json
import sqlite3
import time

from composite_llm.observe.records import Pruned
from composite_llm.observe.store.sqlite import transaction
from composite_llm.observe.store.sums import COMPACT_HISTORY, INTO_HISTORY
from composite_llm.observe.store.timestamps import now_microseconds
from composite_llm.observe.store.writers import remove_gone_writers

EVERY_S = 3600.0
_AT_ONCE = 200
"""Runs of one transaction, so that others who write need not wait long."""
_DAY_US = 86_400_000_000
SPEND_DAYS = 62
"""How long budgets over time remember, whatever else is removed: this month and the one before."""


class Retention:
    """What a writer removes, now and then.

    Args:
        max_age_days: Older runs go; None for no limit.
        max_size_mb: The oldest runs go while the file holds more; None for no limit.
    """

    def __init__(self, max_age_days: float | None, max_size_mb: float | None) -> None:
        self._max_age_days = max_age_days
        self._max_size_mb = max_size_mb
        self._next_s = 0.0

    def apply_when_due(self, connection: sqlite3.Connection) -> None:
        """Once an hour, and at first."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + EVERY_S
        before_us = None if self._max_age_days is None else now_microseconds() - int(self._max_age_days * _DAY_US)
        prune(connection, before_us, None if self._max_size_mb is None else int(self._max_size_mb * 1e6))


def prune(connection: sqlite3.Connection, before_us: int | None, max_bytes: int | None) -> Pruned:
    """Remove runs that ended: those that began before a moment, then the oldest until the file is small enough."""
    remove_gone_writers(connection)
    bytes_before, removed = used_bytes(connection), 0
    if before_us is not None:
        while count := _remove_oldest(connection, before_us):
            removed += count
    if max_bytes is not None:
        while used_bytes(connection) > max_bytes and (count := _remove_oldest(connection, now_microseconds())):
            removed += count
    if removed:
        _tidy(connection)
    return Pruned(runs=removed, bytes_before=bytes_before, bytes_after=used_bytes(connection))


def used_bytes(connection: sqlite3.Connection) -> int:
    """What the file holds, without the room that removed rows left in it."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _remove_oldest(connection: sqlite3.Connection, before_us: int) -> int:
    with transaction(connection):
        rows = connection.execute(
            "SELECT id FROM runs WHERE started_us < ? AND status <> 'running' ORDER BY started_us LIMIT ?",
            (before_us, _AT_ONCE),
        ).fetchall()
        ids = json.dumps([row["id"] for row in rows])
        if rows:
            connection.execute(INTO_HISTORY, {"ids": ids})
            for table, column in (("attempts", "run_id"), ("calls", "run_id"), ("runs", "id")):
                connection.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))", (ids,))
    return len(rows)


def _tidy(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        for statement in COMPACT_HISTORY.split(";"):
            connection.execute(statement)
        connection.execute("DELETE FROM spend WHERE at_us < ?", (now_microseconds() - SPEND_DAYS * _DAY_US,))
    # One step for each page that is given back.
    connection.execute("PRAGMA incremental_vacuum").fetchall()
