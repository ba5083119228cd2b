"""The filters above a list of runs: a form that needs no script. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.picture.markup import Html, element
from composite_llm.viewer.run_query import SINCE, STATUSES, TEXTS, RunQuery

_SPANS = {"1h": "the last hour", "24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days"}


def filters(run_query: RunQuery) -> Html:
    """The form, filled in as the list is."""
    return element(
        "form",
        _choice("Since", "since", [(key, _SPANS[key]) for key in SINCE], run_query.since),
        _choice("Status", "status", [(status, status) for status in STATUSES], run_query.status),
        *(_text(name, getattr(run_query, name)) for name in TEXTS),
        element("button", "Filter", type="submit"),
        element("a", "Show all", href="/") if run_query.filtered else None,
        method="get",
        action="/",
        class_="filters",
        role="search",
    )


def _choice(label: str, name: str, values: Sequence[tuple[str, str]], chosen: str | None) -> Html:
    options = [element("option", word, value=value, selected=value == chosen) for value, word in values]
    select = element("select", element("option", "any", value=""), *options, name=name)
    return element("label", element("span", label), select)


def _text(name: str, value: str | None) -> Html:
    box = element("input", name=name, value=value or "", type="text", maxlength=200, dir="auto")
    return element("label", element("span", name.capitalize()), box)
