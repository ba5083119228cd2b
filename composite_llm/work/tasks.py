"""Tasks that outlive their workers: a queue in SQLite, leases, and steps that are taken up again where they stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from composite_llm import CompositeError, InvalidOption
from composite_llm.work.database import Database, now, state_file
from composite_llm.work.errors import WorkError
from composite_llm.work.secrets import without_secrets

Status = Literal["queued", "running", "done", "failed", "cancelled"]

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS tasks (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, type TEXT NOT NULL, status TEXT NOT NULL, priority INTEGER NOT NULL,
        session TEXT, context_keys TEXT NOT NULL, payload TEXT NOT NULL, result TEXT, error TEXT,
        attempts INTEGER NOT NULL DEFAULT 0, max_attempts INTEGER NOT NULL, not_before REAL NOT NULL DEFAULT 0,
        worker TEXT, lease INTEGER NOT NULL DEFAULT 0, lease_until REAL NOT NULL DEFAULT 0, created REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS tasks_waiting ON tasks (status, priority DESC, created)",
    """CREATE TABLE IF NOT EXISTS steps (
        task TEXT NOT NULL, name TEXT NOT NULL, done INTEGER NOT NULL, result TEXT, PRIMARY KEY (task, name))""",
    "CREATE TABLE IF NOT EXISTS history (task TEXT NOT NULL, at REAL NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS artefacts (
        task TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (task, name))""",
)
_LONGEST_WAIT_S = 3600.0
_MISTAKES = (400, 401, 403, 404, 409)


class UnknownTask(WorkError):
    """No task has this id."""

    status_code = 404


class TaskConflict(WorkError):
    """A task is not in the state that this needs."""

    status_code = 409


class LeaseLost(WorkError):
    """Another worker has the task by now, or it was cancelled; what this one still does is not recorded."""

    status_code = 409


class StepUncertain(WorkError):
    """A step that must not run twice was begun by a worker that is gone, and nobody knows whether it happened."""

    status_code = 409


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work.

    Attributes:
        id: Names it.
        title: For people.
        type: Which handler does it.
        status: Where it is.
        session: Id of the session that it belongs to.
        context_keys: Facts of the memory that it wants to know.
        payload: What its handler needs.
        result: What came of it.
        error: Why it failed, in one sentence.
        priority: Higher comes first.
        attempts: How many workers have begun it.
        max_attempts: How many may.
        history: What happened to it: `at`, `event`, `detail`.
    """

    id: str
    title: str
    type: str
    status: Status
    session: str | None
    context_keys: tuple[str, ...]
    payload: Mapping[str, Any]
    result: Any
    error: str | None
    priority: int
    attempts: int
    max_attempts: int
    history: tuple[Mapping[str, Any], ...] = ()


class TaskQueue:
    """Tasks in one SQLite file, for any number of processes.

    Args:
        path: The file; default: in the `.composite` folder of the working directory.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._database = Database(path if path is not None else state_file(".", "tasks.sqlite"), _SCHEMA)

    def add(
        self,
        title: str,
        type: str = "prompt",
        payload: Mapping[str, Any] | None = None,
        *,
        priority: int = 0,
        session: str | None = None,
        context_keys: Sequence[str] = (),
        max_attempts: int = 3,
    ) -> Task:
        """Put a task into the queue.

        Raises:
            InvalidOption: It has no title, or its payload is no JSON.
        """
        if not title.strip() or not type.strip() or max_attempts < 1:
            raise InvalidOption(
                "task", "has no title, no type or no attempts", allowed="texts, and at least one attempt"
            )
        id_ = secrets.token_hex(4)
        row = (id_, title, type, "queued", priority, session, _json(list(context_keys)), _json(dict(payload or {})))
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO tasks (id, title, type, status, priority, session, context_keys, payload, max_attempts, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, max_attempts, now()),
            )
            _note(connection, id_, "added", title)
        return self.get(id_)

    def get(self, id: str) -> Task:
        """A task with its history.

        Raises:
            UnknownTask: There is none.
        """
        rows = self._database.rows("SELECT * FROM tasks WHERE id = ?", (id,))
        if not rows:
            raise UnknownTask(f"no task {id!r}")
        events = self._database.rows("SELECT at, event, detail FROM history WHERE task = ? ORDER BY rowid", (id,))
        return _task(rows[0], tuple(dict(event) for event in events))

    def list(self, status: Status | None = None) -> list[Task]:
        """All tasks, or those of a status, in the order in which they are taken; without history."""
        rows = self._database.rows(
            "SELECT * FROM tasks WHERE status = ? OR ? ORDER BY priority DESC, created, rowid", (status, status is None)
        )
        return [_task(row) for row in rows]

    def cancel(self, id: str) -> Task:
        """End a task; a worker that has it stops at its next step or sign of life.

        Raises:
            TaskConflict: It is over already.
        """
        with self._changing(id, ("queued", "running"), "cancelled", "status = 'cancelled', lease_until = 0"):
            return self.get(id)

    def resume(self, id: str, *, redo: bool = False) -> Task:
        """Put a failed or cancelled task back into the queue; its finished steps stay finished.

        Args:
            id: The task's.
            redo: Also run again a step that was begun and may have happened.

        Raises:
            TaskConflict: It waits, runs or is done.
        """
        change = "status = 'queued', attempts = 0, not_before = 0, error = NULL"
        with self._changing(id, ("failed", "cancelled"), "resumed", change) as connection:
            if redo:
                connection.execute("DELETE FROM steps WHERE task = ? AND NOT done", (id,))
        return self.get(id)

    def artefacts(self, id: str) -> dict[str, str]:
        """What a task has left: answers, patches, usage, by name."""
        rows = self._database.rows("SELECT name, content FROM artefacts WHERE task = ? ORDER BY at", (id,))
        return {row["name"]: row["content"] for row in rows}

    def claim(
        self, worker: str, *, lease_s: float = 60.0, types: Sequence[str] | None = None, id: str | None = None
    ) -> TaskRun | None:
        """Take the next task that waits, or whose worker has given no sign of life for its lease; None for none."""
        wanted = None if types is None else set(types)
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM tasks WHERE (id = ? OR ?) AND ((status = 'queued' AND not_before <= ?)"
                " OR (status = 'running' AND lease_until < ?)) ORDER BY priority DESC, created, rowid",
                (id, id is None, now(), now()),
            )
            for row in rows.fetchall():
                if wanted is not None and row["type"] not in wanted:
                    continue
                if row["attempts"] >= row["max_attempts"]:
                    error = f"its worker was lost {row['attempts']} times"
                    connection.execute("UPDATE tasks SET status = 'failed', error = ? WHERE id = ?", (error, row["id"]))
                    _note(connection, row["id"], "failed", error)
                    continue
                connection.execute(
                    "UPDATE tasks SET status = 'running', worker = ?, lease = lease + 1, lease_until = ?,"
                    " attempts = attempts + 1 WHERE id = ?",
                    (worker, now() + lease_s, row["id"]),
                )
                _note(connection, row["id"], "begun", worker)
                return TaskRun(self, self._database, _task(row), row["lease"] + 1, lease_s)
        return None

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextlib.contextmanager
    def _changing(self, id: str, allowed: Sequence[str], event: str, change: str) -> Iterator[sqlite3.Connection]:
        with self._database.transaction() as connection:
            task = self.get(id)
            if task.status not in allowed:
                raise TaskConflict(f"task {id} is {task.status}; this needs one that is {' or '.join(allowed)}")
            connection.execute(f"UPDATE tasks SET {change} WHERE id = ?", (id,))
            _note(connection, id, event, "")
            yield connection


class TaskRun:
    """A task in the hands of one worker, as long as its lease holds."""

    def __init__(self, queue: TaskQueue, database: Database, task: Task, lease: int, lease_s: float) -> None:
        self.queue = queue
        self.task = task
        self.lease_s = lease_s
        self._database = database
        self._lease = lease

    async def step(self, name: str, function: Callable[[], Awaitable[Any] | Any], *, repeatable: bool = True) -> Any:
        """What a step gives: from the record where it was finished before, else by running it.

        Args:
            name: Names it within the task.
            function: Without arguments, sync or async; its result is kept as JSON.
            repeatable: Whether it may run again when a worker was lost in the middle of it: it only asks, or it leaves
                the same behind the second time, as writing a whole file does. One that may not is never begun twice.

        Raises:
            LeaseLost: The task is another's by now.
            StepUncertain: A step that is not repeatable was begun before and not finished.
        """
        with self._mine() as connection:
            row = connection.execute("SELECT * FROM steps WHERE task = ? AND name = ?", (self.task.id, name)).fetchone()
            if row is not None and row["done"]:
                return json.loads(row["result"])
            if row is not None and not repeatable:
                raise StepUncertain(
                    f"step {name!r} of task {self.task.id} was begun and may have happened; see what it did, then resume "
                    "with redo=True to run it again"
                )
            connection.execute("INSERT OR IGNORE INTO steps VALUES (?, ?, 0, NULL)", (self.task.id, name))
        result = function()
        if isinstance(result, Awaitable):
            result = await result
        text = _json(result)
        with self._mine() as connection:
            values = (text, self.task.id, name)
            connection.execute("UPDATE steps SET done = 1, result = ? WHERE task = ? AND name = ?", values)
            _note(connection, self.task.id, "step", name)
        return json.loads(text)

    def keep(self, name: str, content: str) -> None:
        """Keep an artefact; one of the same name is replaced."""
        with self._mine() as connection:
            values = (self.task.id, name, content, now())
            connection.execute("INSERT OR REPLACE INTO artefacts VALUES (?, ?, ?, ?)", values)

    def renew(self) -> None:
        """A sign of life.

        Raises:
            LeaseLost: It comes too late.
        """
        with self._mine() as connection:
            connection.execute("UPDATE tasks SET lease_until = ? WHERE id = ?", (now() + self.lease_s, self.task.id))

    def end(self, status: Status, *, result: Any = None, error: str | None = None, again_in_s: float = 0.0) -> None:
        """Give the task back; as `queued` it is taken again after so many seconds."""
        detail = without_secrets(error or "")
        with self._mine() as connection:
            connection.execute(
                "UPDATE tasks SET status = ?, result = ?, error = ?, not_before = ?, lease_until = 0 WHERE id = ?",
                (status, _json(result), detail or None, now() + again_in_s, self.task.id),
            )
            _note(connection, self.task.id, "put back" if status == "queued" else status, detail)

    def put_back(self) -> None:
        """Give the task back as if it had not been taken."""
        with contextlib.suppress(LeaseLost), self._mine() as connection:
            values = (self.task.id,)
            connection.execute("UPDATE tasks SET status = 'queued', attempts = attempts - 1 WHERE id = ?", values)
            _note(connection, self.task.id, "put back", "its worker was ended")

    @contextlib.contextmanager
    def _mine(self) -> Iterator[sqlite3.Connection]:
        """A transaction in which the task is known to be this worker's."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT status, lease FROM tasks WHERE id = ?", (self.task.id,)).fetchone()
            if row is None or row["status"] != "running" or row["lease"] != self._lease:
                raise LeaseLost(f"task {self.task.id} is no longer this worker's")
            yield connection


Handler = Callable[[Task, TaskRun], Awaitable[Any]]


class Worker:
    """Takes tasks one at a time and has their type's handler do them.

    Args:
        queue: Where they wait.
        handlers: By type: `async (task, run) -> result`; what it does goes through `run.step`.
        name: Of this worker; default: host and process.
        lease_s: Seconds without a sign of life after which another worker may take its task.
        backoff_s: Seconds before the second attempt; doubled for each further one.
    """

    def __init__(
        self,
        queue: TaskQueue,
        handlers: Mapping[str, Handler],
        *,
        name: str | None = None,
        lease_s: float = 60.0,
        backoff_s: float = 5.0,
    ) -> None:
        self._queue = queue
        self._handlers = dict(handlers)
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._lease_s = lease_s
        self._backoff_s = backoff_s

    async def run_one(self, id: str | None = None) -> Task | None:
        """Do the next task, or the one of this id; as it is afterwards, or None where there was none to take."""
        run = self._queue.claim(self._name, lease_s=self._lease_s, types=list(self._handlers), id=id)
        if run is None:
            return None
        lost = threading.Event()
        try:
            with _signs_of_life(run, lost):
                result = await self._handlers[run.task.type](run.task, run)
            run.end("done", result=result)
        except LeaseLost:
            pass
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if not lost.is_set() or current is None:
                run.put_back()
                raise
            # It was the lease's end that cancelled, not our caller.
            current.uncancel()
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is this task's failure
            self._failed(run, error)
        return self._queue.get(run.task.id)

    async def run_until_empty(self) -> list[Task]:
        """Do every task that can be taken now."""
        done: list[Task] = []
        while (task := await self.run_one()) is not None:
            done.append(task)
        return done

    def _failed(self, run: TaskRun, error: Exception) -> None:
        sentence = error.message if isinstance(error, CompositeError) else type(error).__name__
        task = self._queue.get(run.task.id)
        mistaken = isinstance(error, CompositeError) and error.status_code in _MISTAKES
        last = task.attempts >= task.max_attempts
        wait = min(self._backoff_s * 2.0 ** (task.attempts - 1), _LONGEST_WAIT_S)
        with contextlib.suppress(LeaseLost):
            run.end("failed" if mistaken or last else "queued", error=sentence, again_in_s=wait)


@contextlib.contextmanager
def _signs_of_life(run: TaskRun, lost: threading.Event) -> Iterator[None]:
    """Renews the lease from a thread, so that a handler that blocks its loop keeps it; one that lost it is cancelled."""
    over = threading.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def beat() -> None:
        while not over.wait(run.lease_s / 3):
            try:
                run.renew()
            except WorkError:
                if task is not None and not over.is_set():
                    lost.set()
                    loop.call_soon_threadsafe(task.cancel)
                return

    thread = threading.Thread(target=beat, name=f"lease of task {run.task.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _task(row: sqlite3.Row, history: tuple[Mapping[str, Any], ...] = ()) -> Task:
    return Task(
        id=row["id"],
        title=row["title"],
        type=row["type"],
        status=row["status"],
        session=row["session"],
        context_keys=tuple(json.loads(row["context_keys"])),
        payload=json.loads(row["payload"]),
        result=json.loads(row["result"]) if row["result"] is not None else None,
        error=row["error"],
        priority=row["priority"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        history=history,
    )


def _note(connection: sqlite3.Connection, task: str, event: str, detail: str) -> None:
    connection.execute("INSERT INTO history VALUES (?, ?, ?, ?)", (task, now(), event, without_secrets(detail)))


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError, RecursionError):
        raise InvalidOption(
            "payload", "cannot be written as JSON", allowed="texts, numbers, lists and mappings"
        ) from None
