"""A trace as one HTML page, or as a piece of one for a notebook. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.picture.answers import answers
from composite_llm.picture.attempts import attempts
from composite_llm.picture.document import asset, document
from composite_llm.picture.family import family
from composite_llm.picture.figures import moment
from composite_llm.picture.heading import heading
from composite_llm.picture.limits import FRAGMENT, PAGE, Limits, shortened
from composite_llm.picture.markup import Html, element, joined, literal
from composite_llm.picture.models import models
from composite_llm.picture.tool_rounds import tool_rounds
from composite_llm.picture.vote import vote
from composite_llm.picture.waterfall import waterfall
from composite_llm.trace import Trace


def page(trace: Trace, *, remarks: Sequence[str] = (), limits: Limits = PAGE) -> str:
    """A self-contained page: it asks the network for nothing, and works with scripts switched off.

    Args:
        trace: A run, finished or not.
        remarks: What is worth saying of this page rather than of the run.
        limits: What is shown at most; what is left out is said in its place.
    """
    name = f"{shortened(trace.model, 80)} \N{MIDDLE DOT} {moment(trace.started_at):%Y-%m-%d %H:%M}"
    return document(name, _content(trace, limits, remarks, "main"))


def fragment(trace: Trace, *, limits: Limits = FRAGMENT) -> str:
    """A piece of a page: every rule of its style is bound to its own class, and it has no script."""
    content = _content(trace, limits, (), "div")
    style = element("style", literal(asset("picture.css")))
    return element("div", style, content, class_="composite-trace fragment").source


def _content(trace: Trace, limits: Limits, remarks: Sequence[str], tag: str) -> Html:
    ordered, text_limit = family(trace), limits.text_share(trace)
    calls = [
        waterfall(trace, ordered, limits),
        vote(trace.ranking, limits) if trace.ranking is not None else None,
        answers(ordered, limits, text_limit),
    ]
    return element(
        tag,
        heading(trace, limits, remarks),
        joined(calls) if trace.calls else element("p", "No model was asked.", class_="note"),
        tool_rounds(trace.tool_calls, limits, text_limit) if trace.tool_calls else None,
        attempts(ordered, limits),
        models(trace, limits),
        class_="sheet",
    )
