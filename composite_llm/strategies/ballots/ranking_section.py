"""Sections headed "FINAL RANKING"."""

from __future__ import annotations

import re
from typing import NamedTuple

from composite_llm.strategies.ballots.found import Found
from composite_llm.strategies.ballots.items import Item, item_of, labelled_places, mentions_of
from composite_llm.strategies.ballots.languages import FINAL_WORDS, RANKING_WORDS
from composite_llm.strategies.ballots.lexicon import Lexicon
from composite_llm.strategies.ballots.span import MAX_PARTS, Span
from composite_llm.strategies.ballots.tables import table_ranking

# How many lines may stand between a heading and its list.
_MAX_STRAY_LINES = 8

_NOTE = (
    r"(?P<note>[,(\u2013\u2014-]?[ \t]{0,3}(?:from[ \t]|in[ \t]order[ \t])?"
    r"(?:best|worst|top|highest|lowest)[^\r\n:\uff1a]{0,40})?[*_ \t]{0,8}(?P<colon>[:\uff1a])?"
)
_HEADING = re.compile(rf"(?<![^\W_])final[ \t_]{{1,3}}rankings?(?![^\W_])[*_ \t]{{0,8}}{_NOTE}", re.IGNORECASE)
_WORDS = "|".join(sorted(map(re.escape, RANKING_WORDS), key=lambda word: (-len(word), word)))
_FINAL = "|".join(map(re.escape, FINAL_WORDS))
# A heading of its own line; as YAML's key and as a tag too.
_PLAIN_HEADING = re.compile(
    rf"^[ \t]*+(?:[#>*_\"'<-]{{1,6}}[ \t]*+)?(?:(?:my|the|our|overall|complete|{_FINAL})[ \t]{{0,3}}){{0,2}}(?:{_WORDS})"
    rf"(?:[ \t]{{1,3}}(?:{_FINAL}|is))?(?![^\W_])[*_\"'> \t]{{0,8}}{_NOTE}",
    re.IGNORECASE | re.MULTILINE,
)
_WORST_FIRST = re.compile(r"(?<!\w)(?:worst|lowest)[ \t-]{1,3}(?:to|first)(?!\w)", re.IGNORECASE)
_LINE_END = re.compile(r"[\r\n]")


class Section(NamedTuple):
    """What follows a heading, up to the next one."""

    body: Span
    worst_first: bool
    start: int
    """Where its heading begins."""


def is_worst_first(text: str) -> bool:
    """Whether a text speaks of an order from worst to best."""
    return _WORST_FIRST.search(text) is not None


def sections_of(text: str) -> list[Section]:
    """The stretches after a "final ranking" heading: with a colon, or alone on its line; else after any heading of a ranking."""
    heads = _heads(_HEADING, text) or _heads(_PLAIN_HEADING, text)
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return [
        Section(Span(text, head.end(), end), is_worst_first(head["note"] or ""), head.start())
        for head, end in [*zip(heads, ends, strict=False)][-MAX_PARTS:]
    ]


def _heads(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    return [head for head in pattern.finditer(text) if head["colon"] or _is_alone(text, head)]


def _is_alone(text: str, head: re.Match[str]) -> bool:
    # A heading is short; looking no further keeps a line of a million headings linear.
    before = _LINE_END.split(text[max(0, head.start() - 40) : head.start()])[-1]
    after = _LINE_END.split(text[head.end() : head.end() + 40])[0]
    return not any(char.isalpha() for char in before + after)


def read_section(section: Section, lexicon: Lexicon) -> Found:
    """The ranking in a section. An order from worst to best is turned round, which takes all of it."""
    found = Found(lexicon)
    found.take(
        table_ranking(section.body, lexicon)
        or labelled_places(section.body, lexicon)
        or mentions_of(_items(section.body, lexicon))
    )
    if section.worst_first:
        complete = len(found.ranking) == len(lexicon.labels)
        found.ranking = found.ranking[::-1] if complete else []
    return found


def _items(body: Span, lexicon: Lexicon) -> list[Item]:
    """The items of the first item's style. Prose ends a list, unless it has numbers or the prose is indented."""
    items: list[Item] = []
    strays = 0
    for line in body.lines():
        item = item_of(line, lexicon)
        if item and (not items or item.style == items[0].style):
            items.append(item)
        elif not items:
            strays += any(char.isalnum() for char in str(line))
        elif items[0].style != "number" and not str(line)[0].isspace():
            break
        if strays > _MAX_STRAY_LINES or len(items) > MAX_PARTS:
            break
    return items
