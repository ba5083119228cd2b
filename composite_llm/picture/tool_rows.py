"""The waterfall's rows of the tools that the run executed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.model.trace import CallStatus, ToolCall
from composite_llm.picture.axis import Axis
from composite_llm.picture.bars import Span, bar, bracket
from composite_llm.picture.figures import NONE, finite, plural, seconds
from composite_llm.picture.limits import Limits, shortened
from composite_llm.picture.markup import Html, element
from composite_llm.picture.rows import name_cell, note_row, row, status_word


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
