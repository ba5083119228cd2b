"""What went wrong on the way and what followed: the attempts of every call that needed more than one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.model.trace import Attempt
from composite_llm.picture.attempt_kinds import (
    KIND_MARKS,
    STATUS_WORDS,
    ClassifiedAttempt,
    classified_attempts,
    eventful,
)
from composite_llm.picture.call_nodes import CallNode
from composite_llm.picture.figures import NONE, plural, seconds
from composite_llm.picture.limits import Limits, shortened
from composite_llm.picture.markup import Html, element, wide

_COLUMNS = ("Attempt", "Start", "Time", "Status", "Why", "What followed")


def attempts(ordered: Sequence[CallNode], limits: Limits) -> Html | None:
    """The section; None where every call was answered at the first try."""
    told = [node for node in ordered if eventful(node.call)]
    if not told:
        return None
    shown = told[: limits.calls]
    more = len(told) - len(shown)
    heads = (
        element("th", name, scope="col", class_="figure" if name in ("Start", "Time") else None) for name in _COLUMNS
    )
    table = element(
        "table",
        element("caption", "Attempts of the calls that needed more than one", class_="unseen"),
        element("thead", element("tr", *heads)),
        *(_call(node, limits) for node in shown),
        class_="plain attempts",
    )
    return element(
        "section",
        element("h2", "Attempts and errors"),
        wide(table, "Attempts and errors"),
        element("p", f"{plural(more, 'further call')} not shown.", class_="note") if more else None,
        class_="block",
    )


def _call(node: CallNode, limits: Limits) -> Html:
    call = node.call
    shown = classified_attempts(call)[: limits.lines]
    more = len(call.attempts) - len(shown)
    said = f"{call.heading}: {call.error}" if call.error else call.heading
    name = element("span", shortened(call.name, limits.label), dir="auto")
    header = element(
        "th",
        name,
        element("small", shortened(said, limits.sentence), dir="auto"),
        colspan=len(_COLUMNS),
        scope="rowgroup",
    )
    note = element("tr", element("td", f"{more:,} more not shown.", colspan=len(_COLUMNS), class_="note"))
    return element("tbody", element("tr", header), *(_attempt(a, limits) for a in shown), note if more else None)


def _attempt(tried: ClassifiedAttempt, limits: Limits) -> Html:
    attempt = tried.attempt
    where = [attempt.model] + ([f"at {attempt.endpoint}"] if attempt.endpoint else [])
    return element(
        "tr",
        element(
            "th",
            element("span", f"{KIND_MARKS[tried.kind]} {tried.kind}", class_="kind"),
            element("small", shortened(" ".join(where), limits.label), dir="auto"),
            scope="row",
        ),
        element("td", seconds(attempt.start_s), class_="figure"),
        element("td", seconds(attempt.duration_s), class_="figure"),
        element("td", element("span", STATUS_WORDS[attempt.status], class_=f"status {attempt.status}")),
        element("td", shortened(_why(attempt), limits.sentence), _said(attempt, limits), dir="auto"),
        element("td", shortened(attempt.next_step or NONE, limits.sentence), dir="auto"),
    )


def _said(attempt: Attempt, limits: Limits) -> Html | None:
    """What the provider itself said."""
    said = attempt.provider_message
    return element("small", shortened(said, limits.sentence), class_="said", dir="auto") if said else None


def _why(attempt: Attempt) -> str:
    code = "" if attempt.status_code is None else f"{attempt.status_code} "
    kind = f"{code}{attempt.error_class or ''}".strip()
    return ": ".join(part for part in (kind, attempt.error) if part) or NONE
