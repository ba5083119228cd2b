"""The waterfall's rows of calls, of their attempts and of the tools that the run executed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.model.trace import Call, CallStatus, ToolCall
from composite_llm.picture.attempt_kinds import KIND_MARKS, ClassifiedAttempt, classified_attempts
from composite_llm.picture.axis import Axis
from composite_llm.picture.bars import Span, bar, bracket
from composite_llm.picture.call_nodes import CallNode
from composite_llm.picture.figures import NONE, finite, plural, price_of, seconds, tokens
from composite_llm.picture.limits import Limits, shortened
from composite_llm.picture.markup import Html, element
from composite_llm.picture.rows import name_cell, note_row, row, status_word


def call_rows(axis: Axis, node: CallNode, limits: Limits) -> list[Html]:
    """A bar where one attempt was all; else a bracket, with the attempts or the calls below it in rows of their own."""
    call = node.call
    several = len(call.attempts) > 1
    name = name_cell(
        element("span", shortened(call.name, limits.label), class_="label", dir="auto"),
        status_word(call.status),
        _whose(node, limits),
        depth=node.depth,
    )
    span = call_span(call)
    drawing = bracket(axis, [span], call.status) if several or node.children else bar(axis, span, "call")
    estimated = any(attempt.estimated for attempt in call.attempts)
    spent = tokens(node.spent, estimated=estimated, without_usage=node.without_usage)
    rows = [
        row(
            name,
            drawing,
            (seconds(call.duration_s), spent, price_of(node.spent, node.cost_usd, without_usage=node.without_usage)),
            f"call {call.status}",
        )
    ]
    return (
        rows + [_attempt_row(axis, attempt, node.depth, limits) for attempt in classified_attempts(call)]
        if several
        else rows
    )


def call_span(call: Call) -> Span:
    """When a call was under way."""
    return Span(call.start_s, call.duration_s, call.status, call.first_token_s)


def _whose(node: CallNode, limits: Limits) -> Html | None:
    """The model, unless it is the name; the role too within a composite, where no stage's row says it."""
    call = node.call
    said = [call.role] if node.depth else []
    said += [call.model] if call.model != call.name else []
    said += [plural(len(call.attempts), "attempt")] if len(call.attempts) > 1 else []
    if not call.attempts and call.status == "ok":
        said.append("kept from an earlier request")
    return element("small", shortened(" \N{MIDDLE DOT} ".join(said), limits.label), dir="auto") if said else None


def _attempt_row(axis: Axis, tried: ClassifiedAttempt, depth: int, limits: Limits) -> Html:
    attempt = tried.attempt
    name = name_cell(
        element("span", f"{KIND_MARKS[tried.kind]} {tried.kind}", class_="kind"),
        status_word(attempt.status),
        element("small", shortened(attempt.model, limits.label), dir="auto"),
        depth=depth + 1,
    )
    span = Span(attempt.start_s, attempt.duration_s, attempt.status, attempt.first_token_s)
    spent = tokens(attempt.usage, estimated=attempt.estimated, without_usage=attempt.without_usage)
    figures = (seconds(attempt.duration_s), spent, price_of(attempt.usage, attempt.cost_usd))
    return row(name, bar(axis, span, tried.kind), figures, f"attempt {attempt.status}")


def tool_rows(axis: Axis, tool_calls: Sequence[ToolCall], limits: Limits) -> list[Html]:
    """A heading, one row per tool, and a note where there were too many."""
    spans = [_span(tool) for tool in tool_calls]
    lasted = max(span.end_s for span in spans) - min(finite(span.start_s) for span in spans)
    name = name_cell("Tools", element("small", plural(len(tool_calls), "call")), scope="rowgroup")
    rows = [row(name, bracket(axis, spans, "Tools"), (seconds(lasted), NONE, NONE), "stage")]
    rows += [_tool_row(axis, tool, limits) for tool in tool_calls[: limits.tool_calls]]
    more = len(tool_calls) - limits.tool_calls
    return [*rows, note_row(f"{plural(more, 'further tool call')} not shown.")] if more > 0 else rows


def _tool_row(axis: Axis, tool: ToolCall, limits: Limits) -> Html:
    name = name_cell(
        element("span", shortened(tool.name, limits.label), class_="label", dir="auto"),
        status_word(_status(tool)),
        element("small", f"round {tool.round:,}"),
    )
    return row(name, bar(axis, _span(tool), "tool"), (seconds(tool.duration_s), NONE, NONE), "call")


def _span(tool: ToolCall) -> Span:
    return Span(tool.start_s, tool.duration_s, _status(tool))


def _status(tool: ToolCall) -> CallStatus:
    return "ok" if tool.error is None else "failed"
