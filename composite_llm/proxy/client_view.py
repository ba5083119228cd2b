"""What a client of the proxy sees of a run: everything but where its nodes are."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import replace

from composite_llm.model.events import CallDone, Degraded, Event
from composite_llm.model.masking import masked_text
from composite_llm.model.trace import Call, Trace
from composite_llm.proxy.request import current_request
from composite_llm.run import Run

_log = logging.getLogger("composite_llm")

_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s,;)\"']+", re.IGNORECASE)

_FAILED = ("failed", "timed_out")


class ClientView:
    """Takes hosts and ports out of what a run says of its failures; its trace, its log and its telemetry keep them.

    Args:
        run: Whose endpoints they are.
        hides: Whether there is a client from whom to hide them.
    """

    def __init__(self, run: Run, *, hides: bool) -> None:
        self._run = run
        self._hides = hides

    def text(self, text: str) -> str:
        """A sentence about a failure."""
        return without_addresses(text, self._run.endpoints) if self._hides else text

    def trace(self, trace: Trace) -> Trace:
        """The whole run."""
        if not self._hides:
            return trace
        calls = [self._call(call) for call in trace.calls]
        return trace.model_copy(
            update={"calls": calls, "degraded": [reason.changed(self.text) for reason in trace.degraded]}
        )

    def event(self, event: Event) -> Event:
        """One thing that happened."""
        if isinstance(event, CallDone) and event.call.error is not None:
            return replace(event, call=self._call(event.call))
        if isinstance(event, Degraded):
            return replace(event, reason=event.reason.changed(self.text))
        return event

    def log_failures(self) -> None:
        """Writes one warning for the operator with the failures of the run as they are, hosts and ports included."""
        trace = self._run.trace
        if not self._hides or trace is None:
            return
        failures = [f"{call.stage} {call.name}: {call.error}" for call in trace.calls if call.status in _FAILED]
        if failures:
            text = masked_text(f"{trace.model} (run {trace.id}) {trace.status}; {'; '.join(failures)}")
            # A line break would forge a second line.
            _log.warning("%s", text.replace("\r", " ").replace("\n", " "))

    def _call(self, call: Call) -> Call:
        return call if call.error is None else call.model_copy(update={"error": self.text(call.error)})


def view_of(run: Run) -> ClientView:
    """What is shown of a run to whoever asked: an operator's health check, and a program of one's own, see all."""
    request = current_request()
    return ClientView(run, hides=request is not None and request.health_of is None)


def without_addresses(text: str, endpoints: Iterable[str]) -> str:
    """A sentence of ours without hosts and ports.

    Args:
        text: As `127.0.0.1:8000 unavailable (HTTP 500)`, `small (127.0.0.1:8000)` or `no reply from 127.0.0.1:8000`.
        endpoints: Hosts and ports that may be in it.
    """
    # The longest first: one may be the beginning of another.
    for endpoint in sorted(set(endpoints), key=len, reverse=True):
        if endpoint in text:
            for form in (f" ({endpoint})", f"{endpoint}: ", f"{endpoint} "):
                text = text.replace(form, "")
            text = text.replace(endpoint, "its endpoint")
    return _ADDRESS.sub("its endpoint", text)
