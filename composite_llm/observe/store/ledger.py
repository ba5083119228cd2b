"""What composites spent: the store's knowledge, and what this process has not written yet."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from composite_llm.model.events import CallDone
from composite_llm.model.trace import Trace
from composite_llm.observe.spending import Used
from composite_llm.observe.store.batch import End, Item
from composite_llm.observe.store.connection import connect
from composite_llm.observe.store.nested import composites_of, known_usd, spent_by_nested
from composite_llm.observe.store.sqlite import StoreUnavailable
from composite_llm.observe.store.timestamps import now_microseconds, to_microseconds
from composite_llm.observe.store.writers import gone_writers
from composite_llm.observe.store.writing import Start

_log = logging.getLogger("composite_llm")

_DAY_US = 86_400_000_000
_BUSY_S = 0.25
"""A run waits for this query."""
_EARLIER_S = 60.0
"""How long the sum of the days before today is taken as it was; it hardly changes."""


@dataclass(slots=True)
class _Unwritten:
    started_us: int
    reserved_usd: float
    spent: dict[str, float] = field(default_factory=dict)


class Ledger:
    """The spending of one store, as its `Spending`.

    Args:
        path: The store's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.forget()

    def forget(self) -> None:
        """Begin without anything unwritten, as a process does that was forked: that is its parent's to count."""
        self._lock = threading.Lock()
        self._unwritten: dict[str, _Unwritten] = {}
        self._unkept: dict[tuple[str, int], float] = {}
        self._earlier: dict[tuple[str, int, int], tuple[float, float]] = {}

    def begin(self, start: Start) -> None:
        """A run is under way."""
        with self._lock:
            self._unwritten[start.run_id] = _Unwritten(start.started_us, start.reserved_usd, {start.model: 0.0})

    def add(self, start: Start, done: CallDone) -> None:
        """One of its calls is done."""
        with self._lock:
            run = self._unwritten.get(start.run_id)
            spent = run.spent if run is not None else {}
            for model in {start.model, *composites_of(done.call)}:
                spent[model] = spent.get(model, 0.0) + (done.cost_usd or 0.0)

    def end(self, start: Start, trace: Trace) -> None:
        """It has ended; it counts from here until it is written."""
        total = sum(known_usd(call) for call in trace.calls)
        with self._lock:
            self._unwritten[start.run_id] = _Unwritten(
                to_microseconds(trace.started_at), 0.0, {**spent_by_nested(trace), start.model: total}
            )

    def written(self, items: Iterable[Item]) -> None:
        """The store knows of these."""
        with self._lock:
            for item in items:
                if isinstance(item, End):
                    self._unwritten.pop(item.start.run_id, None)

    def given_up(self, item: Item) -> None:
        """The store will never know of it, so this process has to."""
        if not isinstance(item, End):
            return
        with self._lock:
            run = self._unwritten.pop(item.start.run_id, None)
            for model, usd in (run.spent if run is not None else {}).items():
                key = (model, run.started_us // _DAY_US) if run is not None else (model, 0)
                self._unkept[key] = self._unkept.get(key, 0.0) + usd

    def used(self, model: str, since: datetime) -> Used:
        """As `Spending`. Where the store cannot be read, what this process knows."""
        since_us = to_microseconds(since)
        with self._lock:
            ids = json.dumps(list(self._unwritten))
            mine = [run for run in self._unwritten.values() if model in run.spent and run.started_us >= since_us]
            spent = sum(run.spent[model] for run in mine)
            reserved = sum(max(run.reserved_usd - run.spent[model], 0.0) for run in mine if run.reserved_usd)
            spent += sum(
                usd for (name, day), usd in self._unkept.items() if name == model and day >= since_us // _DAY_US
            )
        try:
            stored = self._stored(model, since_us, ids)
        except (StoreUnavailable, sqlite3.Error, OSError) as error:
            _log.warning("telemetry: what %s spent cannot be read (%s); this process's own counts", model, error)
            stored = Used()
        return Used(spent + stored.spent_usd, reserved + stored.reserved_usd)

    def _stored(self, model: str, since_us: int, ids: str) -> Used:
        if not self._path.exists():
            return Used()
        today_us = max(now_microseconds() // _DAY_US * _DAY_US, since_us)
        with contextlib.closing(connect(self._path, busy_timeout_s=_BUSY_S)) as connection:
            return Used(
                self._before_today_usd(connection, model, since_us, today_us, ids)
                + _spent_usd(connection, model, today_us, None, ids),
                _reserved_usd(connection, model, since_us, ids),
            )

    def _before_today_usd(
        self, connection: sqlite3.Connection, model: str, since_us: int, today_us: int, ids: str
    ) -> float:
        if since_us >= today_us:
            return 0.0
        key, now_s = (model, since_us, today_us), time.monotonic()
        usd, read_s = self._earlier.get(key, (0.0, -_EARLIER_S))
        if now_s - read_s >= _EARLIER_S:
            usd = _spent_usd(connection, model, since_us, today_us, ids)
            self._earlier = {**{k: v for k, v in self._earlier.items() if k[2] == today_us}, key: (usd, now_s)}
        return usd


def _spent_usd(connection: sqlite3.Connection, model: str, since_us: int, until_us: int | None, ids: str) -> float:
    usd = connection.execute(
        "SELECT SUM(usd) FROM spend WHERE model = ? AND at_us >= ? AND at_us < ? "
        "AND run_id NOT IN (SELECT value FROM json_each(?))",
        (model, since_us, 2**62 if until_us is None else until_us, ids),
    ).fetchone()[0]
    return float(usd or 0.0)


def _reserved_usd(connection: sqlite3.Connection, model: str, since_us: int, ids: str) -> float:
    """What runs of other processes that are under way may still spend."""
    gone = json.dumps(gone_writers(connection))
    usd = connection.execute(
        "SELECT SUM(reserved_usd - usd) FROM spend JOIN runs ON runs.id = run_id WHERE spend.model = ? AND at_us >= ? "
        "AND reserved_usd > 0 AND reserved_usd > usd AND status = 'running' AND run_id NOT IN (SELECT value FROM json_each(?)) "
        "AND writer_id NOT IN (SELECT value FROM json_each(?))",
        (model, since_us, ids, gone),
    ).fetchone()[0]
    return float(usd or 0.0)


def spent_since(connection: sqlite3.Connection, model: str, since: datetime) -> float:
    """US dollars that runs of a composite spent that started then or later, as far as prices are known."""
    return _spent_usd(connection, model, to_microseconds(since), None, "[]")
