"""What waits to be written, and how one batch of it goes into the file."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from composite_llm.model.events import CallDone
from composite_llm.model.trace import Trace
from composite_llm.observe.store import writing
from composite_llm.observe.store.privacy import kept_call, kept_trace
from composite_llm.observe.store.sqlite import transaction
from composite_llm.observe.store.writing import ProviderOf, Start
from composite_llm.observe.telemetry_settings import Privacy

_log = logging.getLogger("composite_llm")


@dataclass(frozen=True, slots=True)
class Done:
    """A call of a run under way is done."""

    start: Start
    event: CallDone


@dataclass(frozen=True, slots=True)
class End:
    """A run has ended."""

    start: Start
    trace: Trace


Item = Start | Done | End


def run_id_of(item: Item) -> str:
    """The run that an item is about."""
    return item.run_id if isinstance(item, Start) else item.start.run_id


class BatchScribe:
    """Writes batches; knows which runs under way have a row already.

    Args:
        writer_id: Who writes.
        privacy: How much of prompts and answers is kept.
        provider_of: The provider of a model.
    """

    def __init__(self, writer_id: str, privacy: Privacy, provider_of: ProviderOf) -> None:
        self.writer_id = writer_id
        self._privacy = privacy
        self._provider_of = provider_of
        self._calls_written: dict[str, int] = {}

    @property
    def has_runs_under_way(self) -> bool:
        """Whether a row of its own says `running`."""
        return bool(self._calls_written)

    def forget(self) -> None:
        """The file is another one: nothing is in it."""
        self._calls_written.clear()

    def write(self, connection: sqlite3.Connection, batch: Sequence[Item]) -> None:
        """One transaction.

        Raises:
            sqlite3.Error: The file cannot be written; nothing of the batch is in it.
        """
        ended = {item.start.run_id for item in batch if isinstance(item, End)}
        # A run whose end is here needs no word of its beginning.
        items = [item for item in batch if isinstance(item, End) or run_id_of(item) not in ended]
        written = dict(self._calls_written)
        try:
            with transaction(connection):
                for item in items:
                    self._write_apart(connection, item)
        except BaseException:
            self._calls_written = written
            raise

    def _write_apart(self, connection: sqlite3.Connection, item: Item) -> None:
        """An item that no file could hold takes no other with it."""
        try:
            self._write_item(connection, item)
        except UnicodeEncodeError:
            # Half a surrogate pair: a model can send it in JSON, UTF-8 cannot hold it.
            self._write_item(connection, _storable(item))
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError):
                raise
            _complain(item, error)
        except Exception as error:  # noqa: BLE001  # as above
            _complain(item, error)

    def _write_item(self, connection: sqlite3.Connection, item: Item) -> None:
        match item:
            case Start():
                self._begin(connection, item)
            case Done(start, event):
                self._begin(connection, start)
                number = self._calls_written[start.run_id]
                call = kept_call(event.call, self._privacy)
                writing.insert_calls(connection, start.run_id, [(number, call)], self._provider_of)
                writing.count_done(connection, start, event)
                self._calls_written[start.run_id] = number + 1
            case End(start, trace):
                if self._calls_written.pop(start.run_id, None):
                    writing.delete_calls(connection, start.run_id)
                kept = kept_trace(trace, self._privacy)
                writing.insert_end(connection, start, kept, self.writer_id, self._provider_of)

    def _begin(self, connection: sqlite3.Connection, start: Start) -> None:
        if start.run_id not in self._calls_written:
            writing.insert_start(connection, start, self.writer_id)
            self._calls_written[start.run_id] = 0


def _complain(item: Item, error: Exception) -> None:
    _log.warning("telemetry: run %s could not be kept (%s)", run_id_of(item), type(error).__name__)


def _storable(item: Item) -> Item:
    match item:
        case Start():
            return replace(item, cells=_cleaned(item.cells))
        case Done(start, event):
            call = type(event.call).model_validate(_cleaned(event.call.model_dump()))
            return Done(replace(start, cells=_cleaned(start.cells)), replace(event, call=call))
        case End(start, trace):
            cleaned = Trace.model_validate(_cleaned(trace.model_dump()))
            return End(replace(start, cells=_cleaned(start.cells)), cleaned)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(inner) for key, inner in value.items()}
    return [_cleaned(inner) for inner in value] if isinstance(value, list) else value
