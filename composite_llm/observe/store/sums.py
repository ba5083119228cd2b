"""Sums over many runs: by model, provider, profile, day, key, session or project."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from composite_llm.observe.records import CostGroup, Sums, UsageGroup
from composite_llm.observe.store.columns import USAGE
from composite_llm.observe.store.timestamps import to_microseconds

_RUN_FIELDS = "runs.started_us AS at_us, runs.profile, runs.key, runs.session, runs.project"
_NO_TOKENS = ", ".join(f"0 AS {name}" for name in USAGE)
_TOKENS = ", ".join(f"attempts.{name}" for name in USAGE)


def _ledger(condition: str) -> str:
    """Each run, each call and each attempt as a line of its own, so that every grouping is a plain sum.

    A nested composite consumes nothing itself: its calls have lines of their own.
    The condition is on `runs`, and stands in each part, because SQLite does not carry it into them.
    """
    return f"""
        SELECT {_RUN_FIELDS}, NULL AS model, NULL AS provider, 1 AS runs, 0 AS calls, 0 AS attempts,
            0 AS failed, {_NO_TOKENS}, 0 AS unpriced, 0.0 AS known_cost_usd
        FROM runs WHERE {condition}
        UNION ALL
        SELECT {_RUN_FIELDS}, calls.model, calls.provider, 0, 1, 0, 0, {_NO_TOKENS}, 0, 0.0
        FROM runs JOIN calls ON runs.id = calls.run_id WHERE calls.model NOT LIKE 'composite/%' AND {condition}
        UNION ALL
        SELECT {_RUN_FIELDS}, attempts.model, attempts.provider, 0, 0, 1, attempts.status <> 'ok', {_TOKENS},
            attempts.cost_usd IS NULL, COALESCE(attempts.cost_usd, 0.0)
        FROM runs JOIN attempts ON runs.id = attempts.run_id
        WHERE attempts.model NOT LIKE 'composite/%' AND {condition}
    """


_DIMENSIONS = ("profile", "key", "session", "project", "model", "provider")
SUMMED = ("runs", "calls", "attempts", "failed", *USAGE, "unpriced", "known_cost_usd")

_DAY_US = 86_400_000_000
_TOTALS = ", ".join(f"SUM({name}) AS {name}" for name in SUMMED)

INTO_HISTORY = f"""
    INSERT INTO history (at_us, {", ".join(_DIMENSIONS)}, {", ".join(SUMMED)})
    SELECT at_us / {_DAY_US} * {_DAY_US} AS day_us, {", ".join(_DIMENSIONS)}, {_TOTALS} FROM
    ({_ledger("runs.id IN (SELECT value FROM json_each(:ids))")}) GROUP BY day_us, {", ".join(_DIMENSIONS)}
"""
"""Keeps the sums of runs that are about to be removed, by day; takes their ids, `ids`, as JSON."""

COMPACT_HISTORY = f"""
    CREATE TEMP TABLE compact AS SELECT at_us, {", ".join(_DIMENSIONS)}, {_TOTALS} FROM history
        GROUP BY at_us, {", ".join(_DIMENSIONS)};
    DELETE FROM history;
    INSERT INTO history SELECT * FROM compact;
    DROP TABLE compact
"""

_COLUMNS = ", ".join(("at_us", *_DIMENSIONS, *SUMMED))
_WITHIN = f"""
    SELECT {_COLUMNS} FROM ({_ledger("runs.started_us >= :since AND runs.started_us < :until")})
    UNION ALL SELECT {_COLUMNS} FROM history WHERE at_us >= :since AND at_us < :until
"""
_FOREVER_US = 2**62

_GROUPS: dict[CostGroup | UsageGroup, str] = {
    "model": "model",
    "backend": "model",
    "provider": "provider",
    "profile": "profile",
    "day": "DATE(at_us / 1000000, 'unixepoch')",
    "key": "key",
    "session": "session",
    "project": "project",
    "all": "NULL",
}
_OF_ATTEMPTS = ("model", "backend", "provider")
"""Groups that a run can belong to several of."""


def sums(
    connection: sqlite3.Connection, by: CostGroup | UsageGroup, since: datetime | None, until: datetime | None
) -> list[Sums]:
    """One entry for each group: days in order, the others by what they cost.

    Raises:
        ValueError: There is no such grouping.
    """
    if by not in _GROUPS:
        message = f"by: got {by!r}; allowed: {', '.join(_GROUPS)}"
        raise ValueError(message)
    order = "1" if by == "day" else "known_cost_usd DESC, total_tokens DESC, 1"
    lines = "attempts + calls > 0" if by in _OF_ATTEMPTS else "1"
    rows = connection.execute(
        f"SELECT {_GROUPS[by]} AS grouped, {_TOTALS} FROM ({_WITHIN}) WHERE {lines} GROUP BY grouped ORDER BY {order}",
        {
            "since": -_FOREVER_US if since is None else to_microseconds(since),
            "until": _FOREVER_US if until is None else to_microseconds(until),
        },
    )
    return [_sums(row, by) for row in rows]


def _sums(row: sqlite3.Row, by: str) -> Sums:
    values: dict[str, Any] = {name: row[name] for name in SUMMED}
    if by in _OF_ATTEMPTS:
        values["runs"] = None
    return Sums(group=row["grouped"], **values)
