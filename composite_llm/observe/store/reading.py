"""From rows to records."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from composite_llm.model.trace import Attempt, Call, Trace
from composite_llm.model.usage import Usage
from composite_llm.observe.records import AttemptRecord, CallRecord, Origin, RunRecord
from composite_llm.observe.store import columns
from composite_llm.observe.store.run_filters import status_of
from composite_llm.observe.store.timestamps import from_microseconds, now_microseconds

_ORIGIN = ("user", "workflow", "step", "task_type", "session", "project")
_RUN_PLAIN = (
    *_ORIGIN, "id", "strategy", "model", "profile", "error", "cost_usd", "known_cost_usd", "calls", "failed_calls",
    "attempts", "key", "trace_id", "question", "privacy",
)  # fmt: skip

LOST = "its process ended before the run did"


def selected_runs(
    connection: sqlite3.Connection, gone: Sequence[str], tail: str, values: Iterable[Any]
) -> list[sqlite3.Row]:
    """Rows of `runs` with the status that holds now, and how long a lost one was heard of."""
    heard = "(SELECT MAX(start_s + duration_s) FROM calls WHERE run_id = runs.id)"
    query = f"SELECT runs.*, {status_of(gone)} AS status_now, {heard} AS heard_s FROM runs {tail}"
    return connection.execute(query, [*gone, *values]).fetchall()


def run_record(row: sqlite3.Row) -> RunRecord:
    """One run."""
    return RunRecord(
        **{name: row[name] for name in _RUN_PLAIN if name != "error"},
        error=LOST if row["status_now"] == "lost" else row["error"],
        tags=json.loads(row["tags"]),
        status=row["status_now"],
        started_at=from_microseconds(row["started_us"]),
        duration_s=_duration_s(row),
        streamed=bool(row["streamed"]),
        degraded=json.loads(row["more"]).get("degraded", []),
        usage=Usage(**{name: row[name] for name in columns.USAGE}),
    )


def _duration_s(row: sqlite3.Row) -> float:
    if row["duration_s"] is not None:
        return float(row["duration_s"])
    if row["status_now"] == "running":
        return max(now_microseconds() - int(row["started_us"]), 0) / 1e6
    return float(row["heard_s"] or 0.0)


def trace_of(row: sqlite3.Row, calls: list[Call]) -> Trace:
    """The trace, as far as the privacy mode kept it."""
    values = columns.fields(row, columns.RUN)
    values["duration_s"] = _duration_s(row)
    if row["status_now"] == "lost":
        values["error"] = LOST
    return Trace(id=row["id"], started_at=from_microseconds(row["started_us"]), calls=calls, **values)


def calls_of(connection: sqlite3.Connection, run_id: str) -> list[Call]:
    """A run's calls with their attempts, in order."""
    attempts: dict[int, list[Attempt]] = {}
    for row in _attempt_rows(connection, run_id):
        attempts.setdefault(row["call_number"], []).append(Attempt(**columns.fields(row, columns.ATTEMPT)))
    rows = connection.execute("SELECT * FROM calls WHERE run_id = ? ORDER BY number", (run_id,))
    return [Call(**columns.fields(row, columns.CALL), attempts=attempts.get(row["number"], [])) for row in rows]


def call_records(connection: sqlite3.Connection, run: RunRecord) -> list[CallRecord]:
    """A run's calls, each with where the run came from."""
    origin: Mapping[str, Any] = run.model_dump(include=set(Origin.model_fields))
    providers = [row[0] for row in connection.execute(
        "SELECT provider FROM calls WHERE run_id = ? ORDER BY number", (run.id,)
    )]  # fmt: skip
    return [
        CallRecord(**dict(call), **origin, run_id=run.id, run_model=run.model, provider=provider)
        for call, provider in zip(calls_of(connection, run.id), providers, strict=True)
    ]


def attempt_records(connection: sqlite3.Connection, run_id: str) -> list[AttemptRecord]:
    """A run's attempts, in the order of its calls."""
    ids = dict(connection.execute("SELECT number, id FROM calls WHERE run_id = ?", (run_id,)).fetchall())
    return [
        AttemptRecord(
            **columns.fields(row, columns.ATTEMPT),
            run_id=run_id,
            call_id=ids[row["call_number"]],
            number=row["number"] + 1,
            provider=row["provider"],
        )
        for row in _attempt_rows(connection, run_id)
    ]


def _attempt_rows(connection: sqlite3.Connection, run_id: str) -> list[sqlite3.Row]:
    return connection.execute(
        "SELECT * FROM attempts WHERE run_id = ? ORDER BY call_number, number", (run_id,)
    ).fetchall()
