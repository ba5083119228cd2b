"""Which member's answer is the run's, where no final model writes one: the vote's winner, or what most of them say. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Hashable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from composite_llm.engine.json_wrapping import unwrapped, wants_json
from composite_llm.engine.output_checks import format_problem
from composite_llm.model.trace import Aggregation, AnswerGroup
from composite_llm.strategies.deliberation import Deliberation

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d{1,3})?")
_STATED = re.compile(
    r"^[^\w\n]*(?:the\s+)?(?:final\s+)?answer(?:\s+is\s*:?|\s*[:=])\s*(?P<answer>.+)$", re.IGNORECASE | re.MULTILINE
)
_AROUND = " \t\r\n\"'`*_.!\N{IDEOGRAPHIC FULL STOP}\N{FULLWIDTH EXCLAMATION MARK}\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"


def chosen(rule: str, deliberation: Deliberation, response_format: Any = None) -> tuple[int, str, Aggregation]:
    """The answer that counts.

    Args:
        rule: `pick` or `vote`.
        deliberation: With at least one answer.
        response_format: The caller's; answers that do not satisfy it count only where none does.

    Returns:
        Its place among the answers, its text as the caller is given it, and what the trace says of it.
    """
    answers = deliberation.answers
    texts = [as_asked(answer.text, response_format) for answer in answers]
    fitting = [place for place, text in enumerate(texts) if problem(text, response_format) is None]
    counted = fitting or list(range(len(answers)))
    order = _order(deliberation, counted)
    if rule == "pick":
        place = order[0]
        return place, texts[place], Aggregation(rule="pick", name=answers[place].name)
    groups: dict[Hashable, list[int]] = {}
    for place in order:
        groups.setdefault(meaning(texts[place], as_json=wants_json(response_format)), []).append(place)
    # Python's sort is stable: among equals the group of the best answer stays first.
    ordered = sorted(groups.values(), key=len, reverse=True)
    record = Aggregation(
        rule="vote",
        name=answers[ordered[0][0]].name,
        groups=[
            AnswerGroup(names=[answers[place].name for place in sorted(group)], share=len(group) / len(counted))
            for group in ordered
        ],
    )
    return ordered[0][0], texts[ordered[0][0]], record


def problem(text: str, response_format: Any) -> str | None:
    """What is wrong with an answer's form; None where nothing is, or none was asked for."""
    return format_problem(text, response_format) if wants_json(response_format) else None


def as_asked(text: str, response_format: Any) -> str:
    """The answer without what a model puts around JSON."""
    if not wants_json(response_format):
        return text
    return unwrapped(text, lambda inner: format_problem(inner, response_format) is None)


def meaning(text: str, *, as_json: bool = False) -> Hashable:
    """What two answers have in common that say the same: JSON by value, numbers by value, short texts as written.

    Of a text that states its answer in a line of its own ("Answer: 42") only that counts; letters' case, spaces, and
    quotation marks, emphasis and full stops around it do not.
    """
    if as_json:
        try:
            return _value(json.loads(text, parse_float=Decimal))
        except (ValueError, RecursionError):
            pass
    stated = list(_STATED.finditer(text))
    said = stated[-1]["answer"] if stated else text
    plain = " ".join(unicodedata.normalize("NFKC", said).casefold().strip(_AROUND).split())
    if _NUMBER.fullmatch(plain):
        try:
            return ("number", Decimal(plain.replace(",", "")))
        except InvalidOperation:
            pass
    return ("text", plain)


def _order(deliberation: Deliberation, places: Sequence[int]) -> list[int]:
    """Places, the best-ranked first; in configuration order without a vote."""
    if deliberation.ranking is None:
        return list(places)
    best = {name: rank for rank, name in enumerate(deliberation.ranking.order)}
    return sorted(places, key=lambda place: best.get(deliberation.answers[place].name, len(best)))


def _value(value: Any) -> Hashable:
    match value:
        case bool() | None:
            return ("word", value)
        case int() | float() | Decimal():
            return ("number", value)
        case str():
            return ("text", value)
        case list():
            return ("list", tuple(map(_value, value)))
        case _:
            return ("object", frozenset((key, _value(inner)) for key, inner in value.items()))
