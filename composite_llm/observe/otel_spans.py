"""The spans below a run's own: stages, calls, attempts and tools, made of its finished trace.

A stage is a child of the run, or of the attempt that a nested run was; a call of its stage, an attempt of its call.
Tokens stand on the attempts only, so that their sum over all spans of a trace is what the run consumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from composite_llm.model.messages import as_text
from composite_llm.model.trace import Attempt, Call, ToolCall, Trace
from composite_llm.observe import otel_names as names
from composite_llm.observe.otel_content import output_messages, tool_arguments, tool_result
from composite_llm.observe.otel_models import AskedModels, Attributes, error_type, is_composite

_NS = 1_000_000_000


class SpanTree:
    """Makes the spans below one run's.

    Args:
        tracer: Makes spans.
        asked: Attributes of attempts.
        trace: The run's own.
        started_ns: When the run began, in nanoseconds since 1970; everything in the trace is told relative to it.
        conversation: Attributes that every attempt carries.
        content: Whether answers, tool arguments and results are put down.
    """

    def __init__(
        self,
        tracer: Tracer,
        asked: AskedModels,
        trace: Trace,
        started_ns: int,
        conversation: Attributes,
        *,
        content: bool,
    ) -> None:
        self._tracer = tracer
        self._asked = asked
        self._trace = trace
        self._started_ns = started_ns
        self._conversation = conversation
        self._content = content
        self._below: dict[str | None, list[Call]] = {}
        for call in trace.calls:
            self._below.setdefault(call.parent_id, []).append(call)

    def grow(self, root: Context) -> None:
        """Make them all, below the span that this context holds."""
        self._stages(self._below.get(None, ()), root)
        for tool in self._trace.tool_calls:
            self._tool(tool, root)

    def moment(self, seconds: float) -> int:
        """A moment of the trace, in nanoseconds since 1970."""
        return self._started_ns + int(seconds * _NS)

    def _stages(self, calls: Iterable[Call], around: Context) -> None:
        by_stage: dict[str, list[Call]] = {}
        for call in calls:
            by_stage.setdefault(call.stage, []).append(call)
        for stage, members in by_stage.items():
            attributes: Attributes = {names.own("stage"): stage, names.own("calls"): len(members)}
            span = self._tracer.start_span(
                f"stage {stage}",
                around,
                SpanKind.INTERNAL,
                attributes,
                start_time=self.moment(min(call.start_s for call in members)),
            )
            inside = set_span_in_context(span, around)
            for call in members:
                self._call(call, inside)
            span.end(self.moment(max(call.start_s + call.duration_s for call in members)))

    def _call(self, call: Call, around: Context) -> None:
        attributes: Attributes = {
            names.OPERATION: names.INVOKE_AGENT,
            names.AGENT_NAME: call.name,
            names.own("call.id"): call.id,
            names.own("stage"): call.stage,
            names.own("role"): call.role,
            names.own("model"): call.model,
            names.own("status"): call.status,
            **self._conversation,
        }
        span = self._start(f"{names.INVOKE_AGENT} {call.name}", around, SpanKind.INTERNAL, attributes, call)
        if call.status in ("failed", "timed_out"):
            last = call.attempts[-1] if call.attempts else None
            reason = (error_type(last) if last is not None else None) or call.status
            _note_failure(span, reason, call.error)
        inside = set_span_in_context(span, around)
        nested = self._below.get(call.id, [])
        for number, attempt in enumerate(call.attempts, 1):
            within, nested = _split(nested, call.attempts[number:])
            self._attempt(attempt, number, call, inside, within)
        self._stages(nested, inside)
        self._end(span, call)

    def _attempt(self, attempt: Attempt, number: int, call: Call, around: Context, within: Sequence[Call]) -> None:
        attributes = self._attempt_attributes(attempt, number, call)
        kind = SpanKind.INTERNAL if is_composite(attempt) else SpanKind.CLIENT
        name = f"{attributes[names.OPERATION]} {attributes.get(names.REQUEST_MODEL, attempt.model)}"
        span = self._start(name, around, kind, attributes, attempt)
        if (error := error_type(attempt)) is not None:
            _note_failure(span, error, attempt.error)
        if within:
            self._stages(within, set_span_in_context(span, around))
        self._end(span, attempt)

    def _attempt_attributes(self, attempt: Attempt, number: int, call: Call) -> Attributes:
        attributes = self._asked.attributes(attempt)
        attributes |= self._conversation
        attributes |= {
            names.own("attempt"): number,
            names.own("role"): call.role,
            names.own("model"): attempt.model,
            names.own("status"): attempt.status,
        }
        attributes |= _consumed(attempt)
        if attempt.first_token_s is not None:
            attributes[names.REQUEST_STREAM] = True
            attributes[names.TIME_TO_FIRST_CHUNK] = attempt.first_token_s - attempt.start_s
        told: dict[str, str | int | None] = {
            names.RESPONSE_MODEL: attempt.response_model,
            names.STATUS_CODE: attempt.status_code,
            names.own("next_step"): attempt.next_step,
        }
        attributes |= {name: value for name, value in told.items() if value is not None}
        if attempt.finish_reason is not None:
            attributes[names.FINISH_REASONS] = [attempt.finish_reason]
        if self._content and attempt.status == "ok" and call.content is not None:
            attributes[names.OUTPUT_MESSAGES] = output_messages(call.content, attempt.finish_reason)
        return attributes

    def _tool(self, tool: ToolCall, around: Context) -> None:
        attributes: Attributes = {
            names.OPERATION: names.EXECUTE_TOOL,
            # The model wrote both; a lone surrogate could not be exported.
            names.TOOL_NAME: as_text(tool.name),
            names.TOOL_CALL_ID: as_text(tool.id),
            names.TOOL_TYPE: "function",
            names.own("tool.round"): tool.round,
            **self._conversation,
        }
        if self._content:
            attributes[names.TOOL_ARGUMENTS] = tool_arguments(tool)
            if (result := tool_result(tool)) is not None:
                attributes[names.TOOL_RESULT] = result
        span = self._start(f"{names.EXECUTE_TOOL} {as_text(tool.name)}", around, SpanKind.INTERNAL, attributes, tool)
        if (error := tool_error_type(tool)) is not None:
            # What a tool's error says is the tool's, and may hold anything.
            _note_failure(span, error, None)
        self._end(span, tool)

    def _start(
        self, name: str, around: Context, kind: SpanKind, attributes: Attributes, timed: Call | Attempt | ToolCall
    ) -> Span:
        return self._tracer.start_span(name, around, kind, attributes, start_time=self.moment(timed.start_s))

    def _end(self, span: Span, timed: Call | Attempt | ToolCall) -> None:
        span.end(self.moment(timed.start_s + timed.duration_s))


def tool_error_type(tool: ToolCall) -> str | None:
    """The class of a tool's error; None if it did its work."""
    return None if tool.error is None else tool.error_class or "unknown"


def _note_failure(span: Span, error: str, description: str | None) -> None:
    span.set_attribute(names.ERROR_TYPE, error)
    span.set_status(Status(StatusCode.ERROR, description))


def _consumed(attempt: Attempt) -> Attributes:
    usage = attempt.usage
    attributes: Attributes = {}
    if usage.total_tokens:
        attributes |= {names.INPUT_TOKENS: usage.prompt_tokens, names.OUTPUT_TOKENS: usage.completion_tokens}
    parts = {
        names.CACHE_READ_TOKENS: usage.cached_tokens,
        names.CACHE_CREATION_TOKENS: usage.cache_creation_tokens,
        names.REASONING_TOKENS: usage.reasoning_tokens,
    }
    attributes |= {name: tokens for name, tokens in parts.items() if tokens}
    # An unknown price is no attribute, rather than 0; a composite's is that of the calls below it.
    if attempt.cost_usd is not None and not is_composite(attempt):
        attributes[names.own("cost_usd")] = attempt.cost_usd
    if attempt.estimated:
        attributes[names.own("tokens_estimated")] = True
    return attributes


def _split(nested: Sequence[Call], later: Sequence[Attempt]) -> tuple[list[Call], list[Call]]:
    """The nested calls that began before the next attempt did, and the others."""
    until = min((attempt.start_s for attempt in later), default=float("inf"))
    return [call for call in nested if call.start_s < until], [call for call in nested if call.start_s >= until]
