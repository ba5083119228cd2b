"""Asking a telemetry store."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from composite_llm.model.model_strings import profile_model
from composite_llm.model.trace import Trace
from composite_llm.observe.records import (
    AttemptRecord,
    CallRecord,
    CostGroup,
    Pruned,
    RunRecord,
    RunStatus,
    Sums,
    UsageGroup,
)
from composite_llm.observe.store import reading
from composite_llm.observe.store.connection import connect
from composite_llm.observe.store.ledger import spent_since
from composite_llm.observe.store.retention import prune
from composite_llm.observe.store.run_filters import RunFilter
from composite_llm.observe.store.sqlite import StoreUnavailable, UnknownRun
from composite_llm.observe.store.sums import sums
from composite_llm.observe.store.timestamps import now_microseconds
from composite_llm.observe.store.writers import gone_writers


class TraceStore:
    """Reads a telemetry store, from any process and thread, while others write to it.

    Each method opens the file anew, and raises `StoreUnavailable` when the file cannot be used.

    Args:
        path: The file that `telemetry` names.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def runs(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        model: str | None = None,
        profile: str | None = None,
        status: RunStatus | None = None,
        user: str | None = None,
        session: str | None = None,
        project: str | None = None,
        workflow: str | None = None,
        tag: str | None = None,
        limit: int | None = 50,
        offset: int = 0,
    ) -> list[RunRecord]:
        """The runs that match all given arguments, newest first; `limit=None` for all of them."""
        wanted = RunFilter(since, until, model, profile, status, user, session, project, workflow, tag)
        with self._connected() as connection:
            gone = gone_writers(connection)
            where, values = wanted.where(gone)
            tail = f"WHERE {where} ORDER BY started_us DESC, rowid DESC LIMIT ? OFFSET ?"
            rows = reading.selected_runs(connection, gone, tail, [*values, -1 if limit is None else limit, offset])
        return [reading.run_record(row) for row in rows]

    def run(self, run_id: str) -> RunRecord:
        """The run with that id, or the only one whose id begins with it.

        Raises:
            UnknownRun: There is no such run, or more than one.
        """
        with self._connected() as connection:
            return reading.run_record(_found(connection, run_id))

    def calls(self, run_id: str) -> list[CallRecord]:
        """A run's calls, in order; of a run that is under way, those that are done.

        Raises:
            UnknownRun: As `run`.
        """
        with self._connected() as connection:
            return reading.call_records(connection, reading.run_record(_found(connection, run_id)))

    def attempts(self, run_id: str) -> list[AttemptRecord]:
        """A run's attempts, in the order of its calls.

        Raises:
            UnknownRun: As `run`.
        """
        with self._connected() as connection:
            return reading.attempt_records(connection, _found(connection, run_id)["id"])

    def trace(self, run_id: str) -> Trace:
        """A run's trace, as far as the privacy mode kept it; of a run under way, what is done.

        Raises:
            UnknownRun: As `run`.
        """
        with self._connected() as connection:
            row = _found(connection, run_id)
            return reading.trace_of(row, reading.calls_of(connection, row["id"]))

    def costs(
        self, by: CostGroup = "model", *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Sums]:
        """What was spent, the most expensive first; days in their order, in UTC."""
        with self._connected() as connection:
            return sums(connection, by, since, until)

    def usage(
        self, by: UsageGroup = "backend", *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Sums]:
        """Attempts, failures, tokens and cost per underlying model, session or project, or in all."""
        with self._connected() as connection:
            return sums(connection, by, since, until)

    def spent_usd(self, profile: str, since: datetime) -> float:
        """US dollars that runs of a profile spent that started then or later, nested ones and those under way included.

        What has no known price counts as nothing.
        """
        with self._connected() as connection:
            return spent_since(connection, profile_model(profile), since)

    def prune(self, *, older_than: timedelta | None = None, max_bytes: int | None = None) -> Pruned:
        """Remove runs that ended: those that began longer ago, then the oldest while the file holds more.

        Their sums stay, by day, in `costs` and `usage`.
        """
        before_us = None if older_than is None else now_microseconds() - older_than // timedelta(microseconds=1)
        with self._connected(reading=False) as connection:
            return prune(connection, before_us, max_bytes)

    @contextlib.contextmanager
    def _connected(self, *, reading: bool = True) -> Iterator[sqlite3.Connection]:
        try:
            connection = connect(self.path)
            try:
                if reading:
                    # All of one answer is from one moment.
                    connection.execute("BEGIN")
                yield connection
            finally:
                connection.close()
        except StoreUnavailable as error:
            message = f"{self.path}: {error}"
            raise StoreUnavailable(message) from None
        except sqlite3.Error as error:
            message = f"{self.path}: {error}"
            raise StoreUnavailable(message) from None


def _found(connection: sqlite3.Connection, run_id: str) -> sqlite3.Row:
    # The lowest id that is higher than all that begin so; ids are ASCII.
    bounds = (run_id, run_id + "\x7f")
    rows = reading.selected_runs(
        connection, gone_writers(connection), "WHERE id >= ? AND id < ? ORDER BY id LIMIT 2", bounds
    )
    if len(rows) == 1 or (rows and rows[0]["id"] == run_id):
        return rows[0]
    problem = f"several runs begin with {run_id!r}" if rows and run_id else f"there is no run {run_id!r}"
    raise UnknownRun(problem)
