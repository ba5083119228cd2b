"""What the marks of the waterfall mean: those that occur in it. Pure."""

from __future__ import annotations

from composite_llm.model.trace import Trace
from composite_llm.picture.bars import sample
from composite_llm.picture.markup import Html, element
from composite_llm.picture.tries import KIND_MARKS, STATUS_WORDS, tries


def legend(trace: Trace) -> Html:
    """A list of samples with their words."""
    attempts = [attempt for call in trace.calls for attempt in tries(call)]
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
