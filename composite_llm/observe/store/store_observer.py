"""The telemetry store as an observer of runs."""

from __future__ import annotations

from composite_llm.model.events import CallDone, Event
from composite_llm.model.trace import Trace
from composite_llm.observe.observer import RunInfo
from composite_llm.observe.store.batch import Done, End
from composite_llm.observe.store.ledger import Ledger
from composite_llm.observe.store.timestamps import now_microseconds, to_microseconds
from composite_llm.observe.store.writer import EXIT_S, BackgroundWriter
from composite_llm.observe.store.writing import ProviderOf, Start, provider_in, start_of
from composite_llm.observe.telemetry_settings import TelemetrySettings


class StoreObserver:
    """Writes every run into a telemetry store, from a thread of its own.

    Args:
        settings: The file and what is kept.
        provider_of: The provider of a model; by default what the model string says.
    """

    def __init__(self, settings: TelemetrySettings, provider_of: ProviderOf = provider_in) -> None:
        self.settings = settings
        self.spending = Ledger(settings.path)
        self._writer = BackgroundWriter(settings, provider_of, self.spending)
        self._starts: dict[str, Start] = {}

    def run_started(self, run: RunInfo) -> None:
        """As `Observer`."""
        start = start_of(run, self.settings.privacy, now_microseconds())
        self._starts[run.id] = start
        self.spending.begin(start)
        self._writer.put(start)

    def run_event(self, run: RunInfo, event: Event) -> None:
        """As `Observer`."""
        start = self._starts.get(run.id)
        if isinstance(event, CallDone) and start is not None:
            self.spending.add(start, event)
            self._writer.put(Done(start, event))

    def run_ended(self, run: RunInfo, trace: Trace) -> None:
        """As `Observer`."""
        start = self._starts.pop(run.id, None) or start_of(
            run, self.settings.privacy, to_microseconds(trace.started_at)
        )
        self.spending.end(start, trace)
        self._writer.put(End(start, trace))

    def flush(self, timeout_s: float = EXIT_S) -> bool:
        """Wait until all that was told is written; False when it could not be, now or within the time."""
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what is there and give up the file; what is told later is written all the same."""
        self._writer.close()
