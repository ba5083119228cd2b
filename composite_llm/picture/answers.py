"""What each call wrote, side by side, stage by stage. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.model.review_labels import readable
from composite_llm.model.trace import Call
from composite_llm.picture.call_nodes import CallNode, Stage, stages
from composite_llm.picture.figures import NONE, plural, price_of, seconds
from composite_llm.picture.limits import Limits, ends_of, shortened
from composite_llm.picture.markup import Html, element
from composite_llm.picture.page_context import PageContext
from composite_llm.picture.rows import status_word
from composite_llm.picture.text_block import text_block

_NO_TEXT = {"full": "No text.", "preview": "No text.", "metadata": "Not kept."}


def answers(ordered: Sequence[CallNode], context: PageContext, limits: Limits, text_limit: int) -> Html:
    """A section per stage, and one for each stage of a composite within a stage."""
    head, tail = ends_of(len(ordered), limits.calls)
    shown = {id(ordered[index]) for index in (*head, *tail)}
    return element(
        "section",
        element("h2", "Answers"),
        *(_stage(stage, shown, context, limits, text_limit) for stage in stages(ordered)),
        class_="block",
    )


def _stage(stage: Stage, shown: set[int], context: PageContext, limits: Limits, text_limit: int) -> Html:
    final = _final(stage)
    cards = [
        _card(node, context, limits, text_limit, final=node is final) for node in stage.members if id(node) in shown
    ]
    missing = len(stage.members) - len(cards)
    return element(
        "section",
        _heading(stage, limits),
        element("div", *cards, class_="cards"),
        element("p", f"{plural(missing, 'call')} not shown.", class_="note") if missing else None,
        class_="within" if stage.parent is not None else None,
    )


def _heading(stage: Stage, limits: Limits) -> Html:
    if stage.parent is None:
        return element("h3", shortened(stage.heading, limits.label))
    inside = element("small", " within ", shortened(stage.parent.call.name, limits.label), dir="auto")
    return element("h3", shortened(stage.heading, limits.label), inside)


def _final(stage: Stage) -> CallNode | None:
    """The call that wrote the run's answer; those before it asked for tools, or broke the format."""
    if stage.parent is not None:
        return None
    return next((node for node in reversed(stage.members) if node.call.content and node.call.final), None)


def _card(node: CallNode, context: PageContext, limits: Limits, text_limit: int, *, final: bool) -> Html:
    call = node.call
    facts = [call.model] if call.model != call.name else []
    facts.append(seconds(call.duration_s))
    facts += [plural(node.spent.total_tokens, "token")] if node.spent.total_tokens else []
    facts += [cost] if (cost := price_of(node.spent, node.cost_usd, without_usage=node.without_usage)) != NONE else []
    return element(
        "article",
        element(
            "h4",
            element("span", shortened(call.name, limits.label), dir="auto"),
            status_word(call.status),
        ),
        element("p", shortened(" \N{MIDDLE DOT} ".join(facts), limits.label), class_="sub", dir="auto"),
        element("p", shortened(call.error, limits.sentence), class_="error", dir="auto") if call.error else None,
        _written(node, context, final, text_limit),
        class_="card final" if final else f"card {call.status}",
    )


def _written(node: CallNode, context: PageContext, final: bool, text_limit: int) -> Html | None:
    call = node.call
    if call.critiques or (call.content and call.labels):
        return _review(call, context, text_limit)
    if call.content:
        return text_block(context.named("Answer"), call.content, text_limit, unfolded=final)
    return element("p", _NO_TEXT[context.kept], class_="note") if call.status == "ok" else None


def _review(call: Call, context: PageContext, text_limit: int) -> Html:
    """A review by whose answer each part is about, and below as it was written, with the reviewer's own labels."""
    said = text_block(context.named("Review"), readable(call) or "", text_limit)
    raw = call.content
    if not raw:
        return said
    shown = ", ".join(f"{label}: {name}" for label, name in call.labels.items())
    legend = element("p", f"Its labels: {shown}", class_="note", dir="auto") if shown else None
    written = element("details", element("summary", "As it was written"), legend, text_block("Text", raw, text_limit))
    return element("div", said, written)
