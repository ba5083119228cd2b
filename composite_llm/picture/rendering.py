"""A trace as one HTML page, or as a piece of one for a notebook. Pure."""

from __future__ import annotations

from composite_llm.model.trace import Trace
from composite_llm.picture.analysis import analysis
from composite_llm.picture.answers import answers
from composite_llm.picture.attempts import attempts
from composite_llm.picture.call_nodes import call_nodes
from composite_llm.picture.document import asset, document
from composite_llm.picture.figures import moment
from composite_llm.picture.heading import heading
from composite_llm.picture.limits import FRAGMENT, PAGE, Limits, shortened
from composite_llm.picture.markup import Html, element, joined, literal
from composite_llm.picture.models import models
from composite_llm.picture.page_context import BARE, PageContext
from composite_llm.picture.text_block import question
from composite_llm.picture.tool_rounds import tool_rounds
from composite_llm.picture.vote import vote
from composite_llm.picture.waterfall import waterfall


def page(trace: Trace, *, context: PageContext = BARE, limits: Limits = PAGE) -> str:
    """A self-contained page: it asks the network for nothing, and works with scripts switched off.

    Args:
        trace: A run, finished or not.
        context: What is known of it beside the trace.
        limits: What is shown at most; what is left out is said in its place.
    """
    main = element("main", sheet(trace, context, limits), class_="sheet")
    return document(name_of(trace), main, style=asset("picture.css") + asset("page.css"), script=asset("page.js"))


def fragment(trace: Trace, *, limits: Limits = FRAGMENT) -> str:
    """A piece of a page: every rule of its style is bound to its own class, and it has no script."""
    # A notebook styles tables and headings by rules of several classes; none of them outweighs an id.
    rules = asset("picture.css").replace(".composite-trace {", ":is(.composite-trace, #composite-trace) {")
    style = element("style", literal(rules))
    return element("div", style, sheet(trace, BARE, limits), class_="composite-trace fragment").source


def name_of(trace: Trace) -> str:
    """What a page of this run is called."""
    return f"{shortened(trace.model, 80)} \N{MIDDLE DOT} {moment(trace.started_at):%Y-%m-%d %H:%M}"


def sheet(trace: Trace, context: PageContext, limits: Limits) -> Html:
    """Everything that a page shows, without the page."""
    ordered, text_limit = call_nodes(trace), limits.text_share(trace)
    calls = [
        waterfall(trace, ordered, limits),
        vote(trace.ranking, limits) if trace.ranking is not None else None,
        analysis(trace.analysis, limits) if trace.analysis is not None else None,
        answers(ordered, context, limits, text_limit),
    ]
    return joined(
        [
            heading(trace, context, limits),
            question(context.named("Question"), context.question, text_limit) if context.question else None,
            *(calls if trace.calls else [element("p", _nobody(context), class_="note block")]),
            tool_rounds(trace.tool_calls, context, limits, text_limit) if trace.tool_calls else None,
            attempts(ordered, limits),
            models(trace, limits),
        ]
    )


def _nobody(context: PageContext) -> str:
    return "No call is done yet." if context.ending == "running" else "No model was asked."
