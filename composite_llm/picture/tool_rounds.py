"""The tools that the run executed, round by round, with what they were given and what came back. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from composite_llm.model.trace import ToolCall
from composite_llm.picture.figures import plural, seconds
from composite_llm.picture.limits import Limits, shortened
from composite_llm.picture.markup import Html, element
from composite_llm.picture.page_context import PageContext
from composite_llm.picture.rows import status_word
from composite_llm.picture.text_block import text_block


def tool_rounds(tool_calls: Sequence[ToolCall], context: PageContext, limits: Limits, text_limit: int) -> Html:
    """The section; the calls of one round stand side by side, since they ran at once."""
    shown = tool_calls[: limits.tool_calls]
    more = len(tool_calls) - len(shown)
    rounds: dict[int, list[ToolCall]] = {}
    for tool in shown:
        rounds.setdefault(tool.round, []).append(tool)
    return element(
        "section",
        element("h2", "Tool rounds"),
        *(_round(number, tools, context, limits, text_limit) for number, tools in rounds.items()),
        element("p", f"{plural(more, 'further tool call')} not shown.", class_="note") if more else None,
        class_="block",
    )


def _round(number: int, tools: Sequence[ToolCall], context: PageContext, limits: Limits, text_limit: int) -> Html:
    cards = (_card(tool, context, limits, text_limit) for tool in tools)
    return element("section", element("h3", f"Round {number:,}"), element("div", *cards, class_="cards"))


def _card(tool: ToolCall, context: PageContext, limits: Limits, text_limit: int) -> Html:
    return element(
        "article",
        element(
            "h4",
            element("span", shortened(tool.name, limits.label), dir="auto"),
            None if tool.error is None else status_word("failed"),
        ),
        element("p", shortened(f"{seconds(tool.duration_s)} \N{MIDDLE DOT} {tool.id}", limits.label), class_="sub"),
        *_texts(tool, context, text_limit),
        element("p", shortened(tool.error, limits.sentence), class_="error", dir="auto") if tool.error else None,
        class_="card" if tool.error is None else "card failed",
    )


def _texts(tool: ToolCall, context: PageContext, text_limit: int) -> list[Html]:
    if context.kept == "metadata":
        return [element("p", "Not kept.", class_="note")]
    texts = [("Arguments", _as_json(tool.arguments))]
    texts += [("Result", tool.result)] if tool.result is not None else []
    return [text_block(context.named(what), text, text_limit, code=True) for what, text in texts]


def _as_json(arguments: object) -> str:
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, indent=2, ensure_ascii=False, default=str)
