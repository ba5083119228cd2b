"""Lists: lines that rank something, and the stretch of them that is one list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from composite_llm.strategies.ballots.chains import labels_in
from composite_llm.strategies.ballots.heads import is_last, numbered
from composite_llm.strategies.ballots.lexicon import Lexicon, Mention
from composite_llm.strategies.ballots.span import Span

_BULLET = re.compile(r"[ \t]*+[-*+\u2022\u2013\u2014\u2023\u25e6][ \t]++")


@dataclass(frozen=True, slots=True)
class Item:
    """A line that ranks something: a list item, or a line of nothing but labels."""

    style: Literal["number", "bullet", "plain"]
    mentions: Sequence[Mention]
    number: int = 0


def item_of(line: Span, lexicon: Lexicon) -> Item | None:
    """The line as an item. Only a numbered one may be without label: it still counts for the numbering."""
    if item := numbered_item(line, lexicon):
        return item
    mentions = labels_in(line, lexicon)
    if mentions and line.match(_BULLET):
        return Item("bullet", mentions)
    if len(mentions) > 1 or (mentions and is_last(mentions[0])):
        return Item("plain", mentions)
    return None


def numbered_item(line: Span, lexicon: Lexicon) -> Item | None:
    """The line as an item with a number."""
    number = numbered(line)
    return Item("number", _item_labels(line.after(number), lexicon), int(number[1])) if number else None


def _item_labels(rest: Span, lexicon: Lexicon) -> list[Mention]:
    """The labels at the head of a numbered item, else the only label mentioned in it."""
    if first := labels_in(rest, lexicon):
        return first
    named: dict[str, Mention] = {}
    for mention in lexicon.full_in(rest):
        named.setdefault(mention.name, mention)
    return list(named.values()) if len(named) == 1 else []


def mentions_of(items: Sequence[Item]) -> Iterator[Mention]:
    """The labels of the first list among the items."""
    for item in _first_list(items):
        yield from item.mentions


def _first_list(items: Sequence[Item]) -> Sequence[Item]:
    """Numbers must keep their direction. A countdown is turned round; a list without a 1 is none."""
    if not items or items[0].style != "number":
        return items
    numbers = [item.number for item in items]
    down = next((b < a for a, b in pairwise(numbers) if a != b), False) and numbers[0] > 1
    breaks = (at for at, (a, b) in enumerate(pairwise(numbers), start=1) if (b >= a if down else b < a))
    kept = items[: next(breaks, len(items))]
    if down:
        kept = kept[::-1]
    return kept if kept[0].number <= 1 else []
