"""The beginning of a line or piece: emphasis, quotes, emoji, a bullet or a number, then perhaps a label."""

from __future__ import annotations

import re

from composite_llm.strategies.ballots.lexicon import Lexicon, Mention
from composite_llm.strategies.ballots.ordinals import MEDALS
from composite_llm.strategies.ballots.span import Span

# What may stand around a label without being a word: emphasis, quotes, brackets, emoji, dashes.
_DECORATION = r"(?:[^\w\r\n]|_)*+"
# "#rank" is a tag, no number. A keycap's number (1\ufe0f\u20e3) needs no punctuation.
_NUMBER = (
    r"(?:(?<!#)(?:rank|place|position|platz|rang|puesto|lugar|posto|\u043c\u0435\u0441\u0442\u043e|\u7b2c)[ \t]{0,3})?"
    r"(\d{1,4})(?:\ufe0f?\u20e3"
    r"|(?:st|nd|rd|th|\u540d|\u4f4d)?[*_ \t]{0,4}(?:[.):|\u3001\uff0e\uff1a\u2013\u2014-](?!\d)|(?<=#\d)[ \t]))"
)
_NUMBERED = re.compile(_DECORATION + _NUMBER, re.IGNORECASE)
_MEDAL = re.compile(rf"(?:[^\w\r\n{MEDALS}]|_)*+([{MEDALS}])")
# YAML's and other lists of fields.
_FIELD = r"(?:(?:label|response|answer|candidate|name|id)[ \t]?:[ \t]?)?+"
_BEFORE_LABEL = re.compile(f"{_DECORATION}(?:{_NUMBER})?+{_DECORATION}{_FIELD}{_DECORATION}", re.IGNORECASE)
# Nothing but a remark in brackets.
_AFTER_WHOLE = re.compile(rf"(?:[^\w\r\n(]|_)*+(?:\([^()\r\n]{{0,80}}\){_DECORATION})?$")


def numbered(line: Span) -> tuple[int, Span] | None:
    """The number that the line has as an item of a list ("2.", "**Rank 2:**", "#2 ", a medal), and what follows it."""
    if medal := line.match(_MEDAL):
        return MEDALS.index(medal[1]) + 1, line.after(medal)
    number = line.match(_NUMBERED)
    return (int(number[1]), line.after(number)) if number else None


def has_medal(line: Span) -> bool:
    """Whether a medal stands before the line's first word."""
    return line.match(_MEDAL) is not None


def head(span: Span, lexicon: Lexicon) -> Mention | None:
    """The label that the span begins with, apart from decoration and a number."""
    before = span.match(_BEFORE_LABEL)
    return lexicon.at(span.after(before)) if before else None


def is_last(mention: Mention) -> bool:
    """Whether no words follow the label, save a remark in brackets."""
    return mention.rest.match(_AFTER_WHOLE) is not None


def whole(span: Span, lexicon: Lexicon) -> Mention | None:
    """The label that the span consists of."""
    mention = head(span, lexicon)
    return mention if mention and is_last(mention) else None


def label_of(text: str, lexicon: Lexicon) -> str | None:
    """The label a string names or begins with."""
    if label := lexicon.named(text):
        return label
    mention = head(Span.of(text), lexicon)
    return mention.label if mention else None
