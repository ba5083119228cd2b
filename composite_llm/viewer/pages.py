"""The pages that the viewer serves, as whole documents. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.model.trace import Trace
from composite_llm.observe.records import RunRecord
from composite_llm.picture.document import asset, document
from composite_llm.picture.limits import PAGE
from composite_llm.picture.markup import Html, element
from composite_llm.picture.rendering import name_of, sheet
from composite_llm.viewer.listing import listing
from composite_llm.viewer.page_context import page_context_of
from composite_llm.viewer.run_query import RunQuery

RELOAD_S = 5
"""How often a browser without scripts asks again; one with scripts asks more often, and for less."""


def list_page(run_query: RunQuery, records: Sequence[RunRecord]) -> str:
    """The list of runs."""
    return _page("Runs", listing(run_query, records), live=True)


def run_page(run: RunRecord, trace: Trace) -> str:
    """One run."""
    live = run.status == "running"
    content = element("div", sheet(trace, page_context_of(run), PAGE), id="run", data_live=live)
    return _page(name_of(trace), element("div", _back(), content), live=live)


def error_page(headline: str, sentence: str, *, live: bool = False) -> str:
    """What went wrong instead.

    Args:
        headline: In a few words.
        sentence: What it was.
        live: Whether it may go by itself.
    """
    said = element("h1", headline), element("p", sentence, dir="auto")
    content = element("div", *said, id="error", data_live=live)
    return _page(headline, element("div", _back(), content), live=live)


def _page(name: str, content: Html, *, live: bool) -> str:
    return document(
        f"{name} \N{MIDDLE DOT} composite",
        element("main", content, class_="sheet"),
        style=asset("picture.css") + asset("page.css") + asset("viewer.css", __package__ or ""),
        script=asset("page.js") + asset("live.js", __package__ or ""),
        served=True,
        reload_s=RELOAD_S if live else None,
    )


def _back() -> Html:
    return element("nav", element("a", "All runs", href="/"), class_="back")
