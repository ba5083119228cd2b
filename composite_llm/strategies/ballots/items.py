"""Lists: lines that rank something, and the stretch of them that is one list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Literal

from composite_llm.strategies.ballots.chains import labels_in
from composite_llm.strategies.ballots.heads import head, is_last, numbered
from composite_llm.strategies.ballots.lexicon import Lexicon, Mention
from composite_llm.strategies.ballots.span import MAX_PARTS, Span

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
    found = numbered(line)
    if found is None:
        return None
    number, rest = found
    return Item("number", _item_labels(rest, lexicon), number)


def _item_labels(rest: Span, lexicon: Lexicon) -> list[Mention]:
    """The labels at the head of a numbered item, else the only label mentioned in it."""
    if first := labels_in(rest, lexicon):
        return first
    named: dict[str, Mention] = {}
    for mention in lexicon.full_in(rest):
        named.setdefault(mention.name, mention)
    return list(named.values()) if len(named) == 1 else []


def labelled_places(body: Span, lexicon: Lexicon) -> list[Mention]:
    """The labels of lines "Response A: 2", by these places; none where the places are not 1, 2, 3 and so on."""
    pairs: list[tuple[int, Mention]] = []
    for line in islice(body.lines(), MAX_PARTS):
        mention = head(line, lexicon)
        place = mention.rest.match(_PLACE) if mention else None
        if mention and place and place.end() == line.end:
            pairs.append((int(place[1]), mention))
        elif pairs:
            break
    ordered = sorted(pairs, key=lambda pair: pair[0])
    in_full = [place for place, _ in ordered] == list(range(1, len(ordered) + 1))
    return [mention for _, mention in ordered] if in_full and len(ordered) > 1 else []


_PLACE = re.compile(r"[*_\"' \t]{0,4}[:=\uff1a\u2013\u2014-][*_ \t]{0,4}#?(\d{1,3})(?:st|nd|rd|th)?[*_,. \t]{0,4}")


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
