"""The seam between a run and what is told about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from composite_llm.model.events import Event
from composite_llm.model.execution_context import ExecutionContext
from composite_llm.model.trace import Trace

_log = logging.getLogger("composite_llm")


@dataclass(frozen=True, slots=True, eq=False)
class RunInfo:
    """A run as its observers know it from the start.

    Attributes:
        id: The same as the trace's.
        strategy: `moa` or `council`.
        model: The composite model string that the caller used.
        streamed: Whether the caller reads a stream.
        messages: The caller's messages, cleaned. They may be secret: whoever keeps them says so first.
        metadata: The caller's own metadata, identity stripped.
        identity: Who asks: on the proxy the key's hash.
        trace_id: LiteLLM's trace id.
        session_id: LiteLLM's session id.
        parent_span: The caller's OpenTelemetry span, where LiteLLM handed one over.
        max_cost_usd: The cap of the run; None for none.
    """

    id: str
    strategy: str
    model: str
    streamed: bool = False
    messages: Sequence[Mapping[str, Any]] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    identity: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    parent_span: Any = None
    max_cost_usd: float | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the run belongs to, if LiteLLM or the caller's metadata says so."""
        return self.session_id or ExecutionContext.of_metadata(self.metadata).session_id


class Observer(Protocol):
    """Told about outermost runs; a nested run is part of the trace of the run around it.

    All three are called on the run's event loop, so they must return at once; what they raise is logged and goes no
    further. Calls of several runs interleave, and loops of several threads may call at once.
    One that has an attribute `listens` that is false is not told events, which makes plain runs cheaper.
    """

    def run_started(self, run: RunInfo) -> None:
        """Before anything is spent; in the caller's context, so that context variables are the caller's."""
        ...

    def run_event(self, run: RunInfo, event: Event) -> None:
        """While the run is under way."""
        ...

    def run_ended(self, run: RunInfo, trace: Trace) -> None:
        """However the run ended; `trace.error` says why if it gave no answer. Called once."""
        ...


class Observers:
    """Tells all of them, and keeps what goes wrong in one away from the run.

    Args:
        observers: In the order in which they are told.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._listening = tuple(observer for observer in observers if getattr(observer, "listens", True))

    @property
    def listening(self) -> bool:
        """Whether one of them wants to know what happens in between."""
        return bool(self._listening)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def with_one_more(self, observer: Observer) -> Observers:
        """These, and another one that is told last."""
        return Observers((*self._observers, observer))

    def run_started(self, run: RunInfo) -> None:
        """As `Observer`."""
        for observer in self._observers:
            try:
                observer.run_started(run)
            except Exception:  # noqa: BLE001  # telling must never make a call fail
                _complain(observer)

    def run_event(self, run: RunInfo, event: Event) -> None:
        """As `Observer`."""
        for observer in self._listening:
            try:
                observer.run_event(run, event)
            except Exception:  # noqa: BLE001  # as above
                _complain(observer)

    def run_ended(self, run: RunInfo, trace: Trace) -> None:
        """As `Observer`."""
        for observer in self._observers:
            try:
                observer.run_ended(run, trace)
            except Exception:  # noqa: BLE001  # as above
                _complain(observer)


def _complain(observer: Observer) -> None:
    _log.warning("%s failed; the run goes on", type(observer).__name__, exc_info=True)
