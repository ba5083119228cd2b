"""Writes one run into the tables: its start, each call that is done, its end."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from composite_llm.model.events import CallDone
from composite_llm.model.execution_context import ExecutionContext
from composite_llm.model.masking import masked_text
from composite_llm.model.model_strings import PROFILE_PREFIX
from composite_llm.model.trace import Call, Trace
from composite_llm.observe.observer import RunInfo
from composite_llm.observe.store import columns
from composite_llm.observe.store.nested import composites_of, spent_by_nested
from composite_llm.observe.store.privacy import kept_question
from composite_llm.observe.store.timestamps import to_microseconds
from composite_llm.observe.telemetry_settings import Privacy

ProviderOf = Callable[[str], str | None]


def provider_in(model: str) -> str | None:
    """The provider that a model string names itself."""
    return model.partition("/")[0] if "/" in model else None


@dataclass(frozen=True, slots=True)
class Start:
    """A run that begins, as its row begins; made at once, so that nothing else of the request is held on to.

    Attributes:
        run_id: Its id.
        started_us: When, in microseconds since 1970.
        cells: Values of the columns that are known from the start.
        reserved_usd: What it may spend, where a cap says so.
    """

    run_id: str
    started_us: int
    cells: Mapping[str, Any]
    reserved_usd: float = 0.0

    @property
    def model(self) -> str:
        """The composite model string."""
        model: str = self.cells["model"]
        return model


def start_of(run: RunInfo, privacy: Privacy, started_us: int) -> Start:
    """What is kept of a run from its start; the moment is its observer's, until the trace tells its own."""
    context = ExecutionContext.of_metadata(run.metadata)
    model = masked_text(run.model)
    cells = {
        "strategy": run.strategy,
        "model": model,
        "profile": model.removeprefix(PROFILE_PREFIX) if model.startswith(PROFILE_PREFIX) else None,
        "streamed": run.streamed,
        "user": _masked(context.user_id),
        "workflow": _masked(context.workflow_name),
        "step": _masked(context.step_name),
        "task_type": _masked(context.task_type),
        "session": _masked(context.session_id or run.session_id),
        "project": _masked(context.project),
        "tags": json.dumps([masked_text(tag) for tag in context.tags]),
        "key": _hashed(run.identity),
        "trace_id": _masked(run.trace_id),
        "question": kept_question(run.messages, privacy),
        "privacy": privacy,
    }
    return Start(run.id, started_us, cells, run.max_cost_usd or 0.0)


def _masked(text: str | None) -> str | None:
    return None if text is None else masked_text(text)


def _hashed(identity: str | None) -> str | None:
    """LiteLLM's hash of the key; a key that came as it is gets hashed in LiteLLM's way."""
    if identity is None or masked_text(identity) == identity:
        return identity
    return hashlib.sha256(identity.encode()).hexdigest()


def insert_start(connection: sqlite3.Connection, start: Start, writer_id: str) -> None:
    """The row of a run under way."""
    known = {"id": start.run_id, "writer_id": writer_id, "started_us": start.started_us}
    _insert(connection, "runs", {**start.cells, **known, "status": "running", "cost_usd": 0.0})
    connection.execute(_INSERT_SPEND, (start.model, start.run_id, start.started_us, 0.0, start.reserved_usd))


def delete_calls(connection: sqlite3.Connection, run_id: str) -> None:
    """Make room for the calls that a run's end tells: more than were told on the way."""
    connection.execute("DELETE FROM calls WHERE run_id = ?", (run_id,))
    connection.execute("DELETE FROM attempts WHERE run_id = ?", (run_id,))


def insert_end(
    connection: sqlite3.Connection, start: Start, trace: Trace, writer_id: str, provider_of: ProviderOf
) -> None:
    """The row of a run that ended, its calls and attempts.

    Args:
        connection: Within a transaction.
        start: As it began.
        trace: Its trace, of which only what may be kept is left.
        writer_id: Who writes.
        provider_of: The provider of a model.
    """
    cells = {
        "id": start.run_id,
        "writer_id": writer_id,
        "status": trace.ending,
        "started_us": to_microseconds(trace.started_at),
        **dict(zip(columns.RUN, columns.cells(trace, columns.RUN), strict=True)),
        **dict(zip(columns.USAGE, columns.usage_cells(trace.usage), strict=True)),
        **_counts(trace.calls),
        "more": columns.rest(trace, columns.RUN, _NOT_IN_RUN),
    }
    _insert(connection, "runs", {**start.cells, **cells})
    insert_calls(connection, start.run_id, enumerate(trace.calls), provider_of)
    spent = {**spent_by_nested(trace), start.model: cells["known_cost_usd"]}
    rows = [(model, start.run_id, cells["started_us"], usd, 0.0) for model, usd in spent.items()]
    connection.executemany(_INSERT_SPEND, rows)


_NOT_IN_RUN = frozenset({"id", "started_at", "calls"})


def _counts(calls: list[Call]) -> dict[str, Any]:
    attempts = [attempt for call in calls for attempt in call.attempts]
    return {
        "calls": len(calls),
        "failed_calls": sum(call.status != "ok" for call in calls),
        "attempts": len(attempts),
        "known_cost_usd": sum(attempt.cost_usd or 0.0 for attempt in attempts),
    }


def insert_calls(
    connection: sqlite3.Connection, run_id: str, calls: Iterable[tuple[int, Call]], provider_of: ProviderOf
) -> None:
    """Calls with their numbers within the run, and their attempts."""
    call_rows: list[tuple[Any, ...]] = []
    attempt_rows: list[tuple[Any, ...]] = []
    for number, call in calls:
        call_rows.append(
            (
                run_id,
                number,
                provider_of(call.model),
                *columns.cells(call, columns.CALL),
                *columns.usage_cells(call.usage),
                columns.rest(call, columns.CALL, _NOT_IN_CALL),
            )
        )
        attempt_rows += [
            (
                run_id,
                number,
                position,
                provider_of(attempt.model),
                *columns.cells(attempt, columns.ATTEMPT),
                *columns.usage_cells(attempt.usage),
                columns.rest(attempt, columns.ATTEMPT),
            )
            for position, attempt in enumerate(call.attempts)
        ]
    connection.executemany(_INSERT_CALL, call_rows)
    connection.executemany(_INSERT_ATTEMPT, attempt_rows)


_NOT_IN_CALL = frozenset({"attempts"})


@lru_cache(maxsize=16)
def _statement(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


_INSERT_CALL = _statement("calls", ("run_id", "number", "provider", *columns.CALL, *columns.USAGE, "more"))
_INSERT_ATTEMPT = _statement(
    "attempts", ("run_id", "call_number", "number", "provider", *columns.ATTEMPT, *columns.USAGE, "more")
)


_INSERT_SPEND = _statement("spend", ("model", "run_id", "at_us", "usd", "reserved_usd"))


def _insert(connection: sqlite3.Connection, table: str, cells: Mapping[str, Any]) -> None:
    connection.execute(_statement(table, tuple(cells)), tuple(cells.values()))


def count_done(connection: sqlite3.Connection, start: Start, done: CallDone) -> None:
    """Add a call that is done, and what ran below it, to the rows of its run under way."""
    call, cost_usd = done.call, done.cost_usd
    tokens = ", ".join(f"{name} = {name} + ?" for name in columns.USAGE)
    connection.execute(
        f"UPDATE runs SET {tokens}, cost_usd = cost_usd + ?, known_cost_usd = known_cost_usd + ?, calls = calls + 1, "
        "failed_calls = failed_calls + ?, attempts = attempts + ? WHERE id = ?",
        (
            *columns.usage_cells(done.spent),
            cost_usd,
            cost_usd or 0.0,
            call.status != "ok",
            len(call.attempts),
            start.run_id,
        ),
    )
    for model in {start.model, *composites_of(call)}:
        connection.execute(
            "INSERT INTO spend VALUES (?, ?, ?, ?, 0.0) ON CONFLICT DO UPDATE SET usd = usd + excluded.usd",
            (model, start.run_id, start.started_us, cost_usd or 0.0),
        )
