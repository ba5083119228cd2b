"""The thread that writes: in batches, off the request's path."""

from __future__ import annotations

import atexit
import collections
import logging
import os
import sqlite3
import sys
import threading
import time
import uuid
import weakref

from composite_llm.observe.store.batch import BatchScribe, Item
from composite_llm.observe.store.database_file import WriterFile
from composite_llm.observe.store.ledger import Ledger
from composite_llm.observe.store.retention import Retention
from composite_llm.observe.store.sqlite import StoreUnavailable
from composite_llm.observe.store.writers import HEARTBEAT_S
from composite_llm.observe.store.writing import ProviderOf
from composite_llm.observe.telemetry_settings import TelemetrySettings

_log = logging.getLogger("composite_llm")

BATCH_S = 0.5
"""How long what happens is collected before it is written: what a killed process loses."""
BATCH_ITEMS = 500
"""More than that are written at once."""
MAX_ITEMS = 5000
"""What may wait while the file cannot be written; then the oldest is given up."""
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0
COMPLAIN_EVERY_S = 60.0
EXIT_S = 5.0
"""How long the end of the program waits for the last batch."""


class BackgroundWriter:
    """Takes items without waiting, and writes them from a thread of its own.

    Args:
        settings: The file and what is kept.
        provider_of: The provider of a model.
        ledger: Told what is written and what was given up.
    """

    def __init__(self, settings: TelemetrySettings, provider_of: ProviderOf, ledger: Ledger) -> None:
        self.settings = settings
        self._ledger = ledger
        self._provider_of = provider_of
        self._retention = Retention(settings.max_age_days, settings.max_size_mb)
        self._begin_anew()
        _LIVE.add(self)

    def _begin_anew(self) -> None:
        self.id = uuid.uuid4().hex
        self._scribe = BatchScribe(self.id, self.settings.privacy, self._provider_of)
        self._file = WriterFile(self.settings.path, self.id, self._scribe.forget)
        self._items: collections.deque[Item] = collections.deque()
        self._changed = threading.Condition()
        self._file_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._taken = self._handled = self._failures = self._given_up = 0
        self._flushing = 0
        self._trying = False
        self._complained_at: float | None = None

    def put(self, item: Item) -> None:
        """Have an item written; returns at once."""
        with self._changed:
            self._items.append(item)
            self._taken += 1
            self._give_up_oldest()
            if self._thread is None:
                self._start_thread()
            elif len(self._items) in (1, BATCH_ITEMS):
                self._changed.notify_all()

    def flush(self, timeout_s: float = EXIT_S) -> bool:
        """Wait until all that was put is written; False when it could not be, now or within the time."""
        with self._changed:
            # A try that is under way may have met what has been mended since.
            wanted, failures = self._taken, self._failures + self._trying
            if self._handled >= wanted:
                return True
            self._flushing += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._handled >= wanted or self._failures > failures, timeout_s)
            self._flushing -= 1
            return self._handled >= wanted

    def close(self, timeout_s: float = EXIT_S) -> None:
        """Write what is there, end the thread and give up the file; an item that comes later begins anew."""
        self.flush(timeout_s)
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_s)
        if self._file_lock.acquire(timeout=timeout_s):
            try:
                self._file.close()
            finally:
                self._file_lock.release()

    def _start_thread(self) -> None:
        _write_at_exit()
        self._thread = threading.Thread(target=self._work, name="composite_llm telemetry", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        retry_s = FIRST_RETRY_S
        while (batch := self._next_batch()) is not None:
            problem = self._written(batch)
            with self._changed:
                self._trying = False
                if problem is None:
                    self._handled += len(batch)
                    retry_s = FIRST_RETRY_S
                else:
                    self._failures += 1
                    self._items.extendleft(reversed(batch))
                    self._give_up_oldest()
                self._changed.notify_all()
                if problem is not None:
                    self._complain(problem)
                    self._changed.wait_for(lambda: self._is_over or self._flushing, retry_s)
                    retry_s = min(2 * retry_s, LAST_RETRY_S)

    def _next_batch(self) -> list[Item] | None:
        """What has gathered; empty when it is time for a sign of life; None at the end."""
        with self._changed:
            idle_s = HEARTBEAT_S if self._scribe.has_runs_under_way else None
            self._changed.wait_for(lambda: self._items or self._is_over, idle_s)
            if self._items:
                self._changed.wait_for(self._is_due, BATCH_S)
            if self._is_over:
                return None
            batch = list(self._items)
            self._items.clear()
            self._trying = True
            return batch

    def _is_due(self) -> bool:
        return self._is_over or self._flushing > 0 or len(self._items) >= BATCH_ITEMS

    @property
    def _is_over(self) -> bool:
        """Whether the thread that asks is the writer's no longer."""
        return self._thread is not threading.current_thread()

    def _written(self, batch: list[Item]) -> str | None:
        """What went wrong; None if nothing did."""
        try:
            with self._file_lock:
                self._file.use(lambda connection: self._write(connection, batch))
        except (StoreUnavailable, OSError, sqlite3.Error) as error:
            return getattr(error, "strerror", None) or str(error)
        except Exception as error:  # noqa: BLE001  # telling must never end the thread
            # A mistake of ours; the items would fail again.
            _log.exception("telemetry: internal error (%s); %d entries are lost", type(error).__name__, len(batch))
        return None

    def _write(self, connection: sqlite3.Connection, batch: list[Item]) -> None:
        self._file.beat_when_due(connection)
        if batch:
            self._scribe.write(connection, batch)
            self._ledger.written(batch)
        self._retention.apply_when_due(connection)

    def _give_up_oldest(self) -> None:
        while len(self._items) > MAX_ITEMS:
            self._ledger.given_up(self._items.popleft())
            self._handled += 1
            self._given_up += 1

    def _complain(self, problem: str) -> None:
        now = time.monotonic()
        if self._complained_at is not None and now - self._complained_at < COMPLAIN_EVERY_S:
            return
        self._complained_at = now
        _log.warning(
            "telemetry: %s cannot be written (%s); %d entries wait, %d were given up; runs go on",
            self.settings.path,
            problem,
            len(self._items),
            self._given_up,
        )

    # A fork copies the memory and one thread, and a connection may not be used by two processes.

    def before_fork(self) -> None:
        """Let no connection into the child."""
        self._held_for_fork = self._file_lock.acquire(timeout=1)
        if self._held_for_fork:
            self._file.close()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._held_for_fork:
            self._file_lock.release()

    def after_fork_in_child(self) -> None:
        """Begin as another writer: what waited is the parent's to write."""
        inherited = self._file.abandon()
        if inherited is not None:
            _INHERITED.append(inherited)
        self._ledger.forget()
        self._begin_anew()


_LIVE: weakref.WeakSet[BackgroundWriter] = weakref.WeakSet()
_INHERITED: list[sqlite3.Connection] = []
"""Closing one of them would take the parent's locks away."""
_at_exit_of: int | None = None


def _write_at_exit() -> None:
    global _at_exit_of  # the process in which it was arranged
    if os.getpid() == _at_exit_of:
        return
    _at_exit_of = os.getpid()
    atexit.register(close_all)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # Its children leave through `os._exit`, past the interpreter's own hooks.
        util.Finalize(None, close_all, exitpriority=10)


def close_all() -> None:
    """Write what every writer of the process still has."""
    for writer in list(_LIVE):
        writer.close()


def _each(method: str) -> None:
    for writer in list(_LIVE):
        getattr(writer, method)()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _each("before_fork"),
        after_in_parent=lambda: _each("after_fork_in_parent"),
        after_in_child=lambda: _each("after_fork_in_child"),
    )
