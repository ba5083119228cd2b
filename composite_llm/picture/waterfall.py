"""The waterfall: a table of stages, calls, attempts and tools on one time axis, with tokens and money. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from composite_llm.model.trace import Call, Trace
from composite_llm.model.usage import total_cost, total_usage
from composite_llm.picture.attempt_kinds import KIND_MARKS, STATUS_WORDS, classified_attempts
from composite_llm.picture.axis import Axis, axis_of
from composite_llm.picture.bars import bracket, sample, scale
from composite_llm.picture.call_nodes import CallNode, Stage, stages
from composite_llm.picture.figures import finite, plural, price_of, seconds, tokens
from composite_llm.picture.limits import Limits, ends_of, shortened
from composite_llm.picture.markup import Html, element
from composite_llm.picture.rows import COLUMNS, name_cell, note_row, row
from composite_llm.picture.waterfall_rows import call_rows, call_span, tool_rows


def legend(trace: Trace) -> Html:
    """A list of samples with their words: of those marks that occur."""
    attempts = [tried for call in trace.calls for tried in classified_attempts(call)]
    statuses = {call.status for call in trace.calls} | {tried.attempt.status for tried in attempts}
    entries = [element("li", sample(status), word) for status, word in STATUS_WORDS.items() if status in statuses]
    if any(tried.attempt.first_token_s is not None for tried in attempts):
        entries.append(element("li", sample("ok", first_token=True), "waiting, first token, writing"))
    kinds = {tried.kind for tried in attempts} - {"first"}
    entries += [element("li", f"{mark} {kind}") for kind, mark in KIND_MARKS.items() if kind in kinds]
    entries.append(element("li", "tokens: prompt + completion"))
    if any(tried.attempt.estimated for tried in attempts):
        entries.append(element("li", "\N{ALMOST EQUAL TO} counted here, because the answer broke off"))
    if any(tried.attempt.without_usage for tried in attempts):
        text = "\N{GREATER-THAN OR EQUAL TO} at least: an attempt was cut off before its usage was known"
        entries.append(element("li", text))
    return element("ul", *entries, class_="legend", aria_label="Legend")


def waterfall(trace: Trace, ordered: Sequence[CallNode], limits: Limits) -> Html:
    """The section with the table and its legend."""
    axis = axis_of(trace)
    head, tail = ends_of(len(ordered), limits.calls)
    drawn = {id(ordered[index]) for index in (*head, *tail)}
    table = element(
        "table",
        element("caption", "Seconds after the start of the run", class_="unseen"),
        element("thead", element("tr", *(_head(axis, name) for name in COLUMNS), role="row"), role="rowgroup"),
        *_bodies(axis, trace, ordered, drawn, limits),
        element("tfoot", _total_row(trace), role="rowgroup"),
        class_="waterfall",
        role="table",
    )
    return element("section", element("h2", "Timeline"), table, legend(trace), class_="block")


def _head(axis: Axis, name: str) -> Html:
    drawn = name == "Timeline"
    return element(
        "th",
        scale(axis) if drawn else name,
        scope="col",
        role="columnheader",
        class_="time" if drawn else "name" if name == "Call" else "figure",
        aria_label=name if drawn else None,
    )


def _bodies(axis: Axis, trace: Trace, ordered: Sequence[CallNode], drawn: set[int], limits: Limits) -> list[Html]:
    bodies = [_stage_body(axis, stage, drawn, limits) for stage in stages(ordered) if stage.parent is None]
    missing = [node.call for node in ordered if id(node) not in drawn]
    if missing:
        bodies.insert(-1, element("tbody", note_row(_not_drawn(missing)), role="rowgroup"))
    if trace.tool_calls:
        bodies.append(element("tbody", *tool_rows(axis, trace.tool_calls, limits), role="rowgroup"))
    return bodies


def _stage_body(axis: Axis, stage: Stage, drawn: set[int], limits: Limits) -> Html:
    rows = [_stage_row(axis, stage, limits)]
    for member in stage.members:
        for node in _with_descendants(member):
            if id(node) in drawn:
                rows += call_rows(axis, node, limits)
    return element("tbody", *rows, role="rowgroup")


def _with_descendants(member: CallNode) -> Iterator[CallNode]:
    waiting = [member]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children[::-1]


def _stage_row(axis: Axis, stage: Stage, limits: Limits) -> Html:
    spans = [call_span(node.call) for node in stage.members]
    answered = sum(node.call.status == "ok" for node in stage.members)
    name = shortened(stage.heading, limits.label)
    lasted = max(span.end_s for span in spans) - min(finite(span.start_s) for span in spans)
    used = total_usage(node.spent for node in stage.members)
    without_usage = sum(node.without_usage for node in stage.members)
    cost = price_of(used, total_cost(node.cost_usd for node in stage.members), without_usage=without_usage)
    of = element("small", f"{answered:,} of {len(stage.members):,} answered")
    figures = (seconds(lasted), tokens(used, without_usage=without_usage), cost)
    return row(name_cell(name, of, scope="rowgroup"), bracket(axis, spans, name), figures, "stage")


def _not_drawn(missing: Sequence[Call]) -> str:
    how = Counter(call.status for call in missing)
    said = ", ".join(f"{number:,} {STATUS_WORDS[status]}" for status, number in how.items())
    return f"{plural(len(missing), 'call')} ({said}) not shown; their tokens and money are in the sums."


def _total_row(trace: Trace) -> Html:
    name = name_cell("Total", element("small", plural(len(trace.calls), "call")))
    without_usage = trace.attempts_without_usage
    cost = price_of(trace.usage, trace.cost_usd, without_usage=without_usage)
    return row(name, None, (seconds(trace.duration_s), tokens(trace.usage, without_usage=without_usage), cost), "total")
