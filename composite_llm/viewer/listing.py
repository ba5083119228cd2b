"""The list of runs as a page, with the filters above it: a form that needs no script. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from composite_llm.observe.records import RunRecord
from composite_llm.picture.figures import NONE, moment, plural, price, price_of, seconds, tokens
from composite_llm.picture.limits import PAGE, shortened
from composite_llm.picture.markup import Child, Html, element, joined, wide
from composite_llm.viewer.run_query import PER_PAGE, SINCE, STATUSES, TEXTS, RunQuery

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


_COLUMNS = ("Started (UTC)", "Run", "Status", "Time", "Calls", "Tokens", "Cost", "From")
_FIGURES = ("Time", "Calls", "Tokens", "Cost")
_ORIGIN = ("user", "session", "project", "workflow")
_QUESTION = 110


def listing(run_query: RunQuery, records: Sequence[RunRecord]) -> Html:
    """The whole content of the page.

    Args:
        run_query: What the list is asked for.
        records: The runs of its page, and one more if there is a further page.
    """
    runs, more = records[:PER_PAGE], len(records) > PER_PAGE
    content = [_table(runs), _pages(run_query, len(runs), more=more)] if runs else [_nothing(run_query)]
    return joined(
        [
            element("header", element("p", "composite", class_="over"), element("h1", "Runs")),
            filters(run_query),
            element("section", *content, id="runs", class_="block", data_live=True, aria_label="Runs"),
        ]
    )


def _nothing(run_query: RunQuery) -> Html:
    if run_query.filtered or run_query.page > 1:
        return element("p", "No run matches these filters.", class_="note")
    return element("p", "No runs have been stored yet.", class_="note")


def _table(runs: Sequence[RunRecord]) -> Html:
    heads = (
        element("th", name, scope="col", role="columnheader", class_="figure" if name in _FIGURES else None)
        for name in _COLUMNS
    )
    table = element(
        "table",
        element("caption", "Runs, newest first", class_="unseen"),
        element("thead", element("tr", *heads, role="row"), role="rowgroup"),
        element("tbody", *map(_row, runs), role="rowgroup"),
        class_="plain runs",
        role="table",
    )
    return wide(table, "Runs, newest first")


def _row(run: RunRecord) -> Html:
    started = moment(run.started_at)
    failed = element("small", f"{run.failed_calls:,} not answered") if run.failed_calls else None
    return element(
        "tr",
        _cell(element("time", f"{started:%Y-%m-%d %H:%M:%S}", datetime=started.isoformat()), class_="when"),
        element("th", _link(run), _asked(run), scope="row", role="rowheader"),
        _cell(_status(run)),
        _cell(seconds(run.duration_s), class_="figure"),
        _cell(
            f"{run.calls:,}",
            element("small", "call" if run.calls == 1 else "calls", class_="unit"),
            failed,
            class_="figure",
        ),
        _cell(tokens(run.usage), element("small", "tokens", class_="unit"), class_="figure"),
        _cell(_cost(run), class_="figure"),
        _cell(*_from(run), class_="from"),
        role="row",
    )


def _cell(*children: Child, class_: str | None = None) -> Html:
    """A cell; its role outlives the narrow layout, which is no table's."""
    return element("td", *children, role="cell", class_=class_)


def _link(run: RunRecord) -> Html:
    name = element("span", shortened(run.model, PAGE.label), dir="auto")
    return element("a", name, href=f"/runs/{quote(run.id, safe='')}")


def _asked(run: RunRecord) -> Html | None:
    return None if not run.question else element("small", shortened(run.question, _QUESTION), dir="auto")


def _status(run: RunRecord) -> Html:
    degraded = element("small", f"degraded: {len(run.degraded):,}") if run.degraded else None
    return element("span", element("span", run.status, class_=f"status {run.status}"), degraded)


def _cost(run: RunRecord) -> str:
    if run.cost_usd is None and run.known_cost_usd:
        return f"over {price(run.known_cost_usd)}"
    return price_of(run.usage, run.cost_usd)


def _from(run: RunRecord) -> list[Html | str]:
    named = [(name, getattr(run, name)) for name in _ORIGIN]
    said = [element("small", f"{name} ", shortened(value, PAGE.label), dir="auto") for name, value in named if value]
    return [*said] if said else [NONE]


def _pages(run_query: RunQuery, shown: int, *, more: bool) -> Html:
    first = (run_query.page - 1) * PER_PAGE + 1
    newer = (
        element("a", "Newer", href=run_query.address(run_query.page - 1), rel="prev") if run_query.page > 1 else None
    )
    older = element("a", "Older", href=run_query.address(run_query.page + 1), rel="next") if more else None
    where = f"{first:,} to {first + shown - 1:,}" if run_query.page > 1 or more else plural(shown, "run")
    return element("nav", newer, element("span", where), older, class_="pages", aria_label="Pages")
