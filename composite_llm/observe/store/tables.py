"""The tables of the telemetry store, and how an older file becomes a current one."""

from __future__ import annotations

import sqlite3

from composite_llm.observe.store.sqlite import StoreUnavailable, transaction

_VERSION_1 = """
CREATE TABLE writers (
    id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, process_started TEXT, heartbeat_us INTEGER NOT NULL
);
CREATE TABLE runs (
    id TEXT PRIMARY KEY, writer_id TEXT NOT NULL, status TEXT NOT NULL, strategy TEXT NOT NULL, model TEXT NOT NULL,
    profile TEXT, started_us INTEGER NOT NULL, duration_s REAL, streamed INTEGER NOT NULL, error TEXT,
    prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
    total_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0, cost_usd REAL, known_cost_usd REAL NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0, failed_calls INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    user TEXT, workflow TEXT, step TEXT, task_type TEXT, session TEXT, project TEXT, tags TEXT NOT NULL DEFAULT '[]',
    key TEXT, trace_id TEXT, question TEXT, privacy TEXT NOT NULL, more TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX runs_by_start ON runs (started_us);
CREATE INDEX runs_by_profile ON runs (profile, started_us);
CREATE INDEX runs_by_session ON runs (session, started_us);
CREATE INDEX runs_under_way ON runs (writer_id) WHERE status = 'running';
CREATE TABLE calls (
    run_id TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, parent_id TEXT, stage TEXT NOT NULL,
    role TEXT NOT NULL, name TEXT NOT NULL, model TEXT NOT NULL, provider TEXT, status TEXT NOT NULL,
    start_s REAL NOT NULL, duration_s REAL NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    total_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, cost_usd REAL,
    error TEXT, content TEXT, more TEXT NOT NULL, PRIMARY KEY (run_id, number)
);
CREATE TABLE attempts (
    run_id TEXT NOT NULL, call_number INTEGER NOT NULL, number INTEGER NOT NULL, model TEXT NOT NULL, provider TEXT,
    status TEXT NOT NULL, start_s REAL NOT NULL, duration_s REAL NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, total_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL, cost_usd REAL, error TEXT, more TEXT NOT NULL,
    PRIMARY KEY (run_id, call_number, number)
);
"""

_VERSION_2 = """
CREATE TABLE history (
    at_us INTEGER NOT NULL, profile TEXT, key TEXT, session TEXT, project TEXT, model TEXT, provider TEXT,
    runs INTEGER NOT NULL, calls INTEGER NOT NULL, attempts INTEGER NOT NULL, failed INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, total_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    known_cost_usd REAL NOT NULL
);
CREATE INDEX history_by_day ON history (at_us);
CREATE TABLE spend (
    model TEXT NOT NULL, run_id TEXT NOT NULL, at_us INTEGER NOT NULL, usd REAL NOT NULL, reserved_usd REAL NOT NULL,
    PRIMARY KEY (model, run_id)
) WITHOUT ROWID;
CREATE INDEX spend_by_time ON spend (model, at_us, usd);
CREATE INDEX spend_reserved ON spend (model, at_us) WHERE reserved_usd > 0;
INSERT INTO spend SELECT model, id, started_us, known_cost_usd, 0.0 FROM runs;
"""
"""`history`: the sums of runs that were removed. `spend`: what budgets over time count, for each composite of a run."""

_MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2)
"""Entry n leads from version n to version n + 1; an entry that was released is never edited."""

VERSION = len(_MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the current version, in one transaction, whoever else is opening it.

    Raises:
        StoreUnavailable: The file was written by a later release, or by another program.
    """
    if _checked_version(connection) == VERSION:
        return
    # Several processes may start at once: the version is looked at again under the write lock.
    with transaction(connection):
        for step in _MIGRATIONS[_checked_version(connection) :]:
            for statement in step.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of a file; 0 for a new one."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _checked_version(connection: sqlite3.Connection) -> int:
    # Before the version: another process may be making the tables, which it does together with the version.
    has_tables = connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None
    version = version_of(connection)
    if version > VERSION:
        message = f"its schema has version {version}, this release knows up to {VERSION}; upgrade composite_llm"
        raise StoreUnavailable(message)
    if version == 0 and has_tables:
        message = "it is another program's database"
        raise StoreUnavailable(message)
    return version
