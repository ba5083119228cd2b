"""Runs as OpenTelemetry spans and metrics.

The run's span begins with the run, below its caller's; what lies below it is made when the run ends, of its trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry import metrics, trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from composite_llm.model.events import Event
from composite_llm.model.execution_context import ExecutionContext
from composite_llm.model.messages import as_text
from composite_llm.model.trace import Trace
from composite_llm.observe import otel_names as names
from composite_llm.observe.observer import RunInfo
from composite_llm.observe.otel_content import input_messages, output_messages
from composite_llm.observe.otel_metrics import Instruments
from composite_llm.observe.otel_models import AskedModels, Attributes, workflow
from composite_llm.observe.otel_settings import OtelSettings
from composite_llm.observe.otel_spans import SpanTree

_SCOPE = "composite_llm"
_CONTEXT_ATTRIBUTES = {
    "user_id": names.USER,
    "workflow_name": names.own("workflow"),
    "step_name": names.own("step"),
    "task_type": names.own("task_type"),
    "project": names.own("project"),
}
"""Fields of the caller's `ExecutionContext`, and the attribute that each becomes."""


@dataclass(frozen=True, slots=True)
class _OpenRun:
    span: Span
    inside: Context
    started_ns: int


class OpenTelemetry:
    """Tells OpenTelemetry of each run.

    Args:
        settings: What is told, and to whom.
        provider_of: LiteLLM's provider of a model string, None for a name of the Router.
        release: The package's version, which spans and metrics carry.
    """

    listens = False

    def __init__(self, settings: OtelSettings, provider_of: Callable[[str], str | None], release: str = "") -> None:
        self._settings = settings
        self._asked = AskedModels(provider_of)
        self._open: dict[str, _OpenRun] = {}
        # The global providers may be set later than this: what they hand out until then looks for them.
        self._tracer = trace.get_tracer(_SCOPE, release, settings.tracer_provider) if settings.spans else None
        self._instruments: Instruments | None = None
        if settings.metrics:
            self._instruments = Instruments(metrics.get_meter(_SCOPE, release, settings.meter_provider), self._asked)

    def run_started(self, run: RunInfo) -> None:
        """Begin the run's span."""
        if self._tracer is None:
            return
        started_ns = time.time_ns()
        name = f"{names.INVOKE_WORKFLOW} {run.model}"
        attributes = {**_attributes_of(run), **_conversation(run)}
        around = _around(run)
        span = self._tracer.start_span(name, around, SpanKind.INTERNAL, attributes=attributes, start_time=started_ns)
        self._open[run.id] = _OpenRun(span, trace.set_span_in_context(span, around), started_ns)

    def run_event(self, run: RunInfo, event: Event) -> None:
        """Nothing: the trace has it all."""

    def run_ended(self, run: RunInfo, trace: Trace) -> None:
        """Make the spans below the run's, end it, and count."""
        opened = self._open.pop(run.id, None)
        try:
            if opened is not None:
                self._end(opened, run, trace)
        finally:
            if self._instruments is not None:
                self._instruments.record(trace)

    def _end(self, opened: _OpenRun, run: RunInfo, done: Trace) -> None:
        span = opened.span
        try:
            if span.is_recording() and self._tracer is not None:
                content = self._settings.captures_content
                _describe_end(span, run, done, content=content)
                tree = SpanTree(self._tracer, self._asked, done, opened.started_ns, _conversation(run), content=content)
                tree.grow(opened.inside)
        finally:
            span.end(opened.started_ns + int(done.duration_s * 1_000_000_000))


def _around(run: RunInfo) -> Context:
    """The caller's context; in it the span that LiteLLM handed over, such as the proxy's, if it did."""
    current = get_current()
    return trace.set_span_in_context(run.parent_span, current) if isinstance(run.parent_span, Span) else current


def _attributes_of(run: RunInfo) -> Attributes:
    attributes: Attributes = {
        names.OPERATION: names.INVOKE_WORKFLOW,
        **workflow(run.model),
        names.own("run.id"): run.id,
        names.own("strategy"): run.strategy,
        names.own("streamed"): run.streamed,
    }
    context = ExecutionContext.of_metadata(run.metadata)
    told = {name: getattr(context, key) for key, name in _CONTEXT_ATTRIBUTES.items()}
    attributes |= {name: as_text(value) for name, value in told.items() if value is not None}
    if context.tags:
        attributes[names.own("tags")] = [as_text(tag) for tag in context.tags]
    return attributes


def _conversation(run: RunInfo) -> Attributes:
    return {} if run.conversation_id is None else {names.CONVERSATION: run.conversation_id}


def _describe_end(span: Span, run: RunInfo, done: Trace, *, content: bool) -> None:
    attributes: Attributes = {
        names.own("status"): done.ending,
        names.own("calls"): len(done.calls),
        # Not under the conventions' names: those are the attempts', and would be added up twice.
        names.own("input_tokens"): done.usage.prompt_tokens,
        names.own("output_tokens"): done.usage.completion_tokens,
        names.own("degraded"): done.degraded_codes,
        names.own("reused"): done.reused,
    }
    if done.cost_usd is not None:
        attributes[names.own("cost_usd")] = done.cost_usd
    if done.ranking is not None and done.ranking.agreement is not None:
        attributes[names.own("agreement")] = done.ranking.agreement
    if content:
        attributes[names.INPUT_MESSAGES] = input_messages(run.messages)
        if (answer := _answer(done)) is not None:
            attributes[names.OUTPUT_MESSAGES] = output_messages(*answer)
    span.set_attributes(attributes)
    if done.ending == "failed":
        span.set_attribute(names.ERROR_TYPE, done.error_class or "_OTHER")
        span.set_status(Status(StatusCode.ERROR, done.error))


def _answer(done: Trace) -> tuple[str, str | None] | None:
    """The final call's text and why it ended."""
    last = next((call for call in reversed(done.calls) if call.parent_id is None), None)
    if done.error is not None or last is None or last.content is None:
        return None
    return last.content, last.attempts[-1].finish_reason if last.attempts else None
