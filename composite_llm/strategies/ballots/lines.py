"""Labels in lines of prose: at the head of a line, in a numbered item, in a chain such as "C > A = B"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Literal

from composite_llm.strategies.ballots.lexicon import MEDALS, Lexicon, Mention
from composite_llm.strategies.ballots.text import MAX_PARTS, Span

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


BETTER = re.compile(r"&gt;|[>\u227b\u2192\u2265\u27f6\u27a1]\ufe0f?")

_CHAIN = re.compile(f"(?:{BETTER.pattern})=?|=")
_AND = r"(?:and|then|und|et|en|og|och|ja|\u03ba\u03b1\u03b9)(?!\w)|(?-i:(?<=[ \t])[eiy\u0438](?=[ \t]+[^\W\d_a-z\u0430-\u044f]))"
_LIST = re.compile(
    rf",[ \t]*+(?:{_AND})|[>\u227b\u2192\u2265=,;/&+\uff0c\u3001\uff1b]|(?<!\w)(?:{_AND})", re.IGNORECASE
)
# In a piece, the label before the ">" is looked for no further back.
_TAIL = 200


def labels_in(line: Span, lexicon: Lexicon) -> list[Mention]:
    """The labels of a ranking line: a ">" chain, a plain enumeration of nothing but labels, or the one at its head."""
    chain = max(chains(line, lexicon), key=len, default=[])
    if len(chain) > 1:
        return chain
    if len(enumerated := _enumeration(line, lexicon)) > 1:
        return enumerated
    first = head(line, lexicon)
    return [first] if first else []


def _enumeration(line: Span, lexicon: Lexicon) -> list[Mention]:
    """The labels of a line of nothing else; none when there is anything else."""
    links = [whole(piece, lexicon) for piece in line.pieces(_LIST)]
    if links[-1] is None and line.ends_text:
        # Whatever the end of the text has cut says nothing about the links before it.
        links.pop()
    known = [link for link in links if link]
    return known if len(known) == len(links) else []


def chains(line: Span, lexicon: Lexicon, *, full_first: bool = False) -> Iterator[list[Mention]]:
    """The runs of labels linked by ">" or "=" in a line; with `full_first`, only those that begin with a full label."""
    *links, last = line.pieces(_CHAIN)
    run: list[Mention] = []
    for piece in links:
        link = whole(piece, lexicon) if run else None
        if link:
            run.append(link)
            continue
        if run:
            yield _closed(run, piece, lexicon)
        first = _tail(piece, lexicon)
        run = [first] if first and not (full_first and first.short) else []
    if run:
        yield _closed(run, last, lexicon)


def _closed(run: list[Mention], piece: Span, lexicon: Lexicon) -> list[Mention]:
    """The run with the label that a piece of more than a label begins with."""
    link = head(piece, lexicon)
    return [*run, link] if link else run


def _tail(piece: Span, lexicon: Lexicon) -> Mention | None:
    """The full label a piece ends with ("My order is Response C"); a piece of nothing but a label counts too."""
    mentions = list(lexicon.full_in(piece.last(_TAIL)))
    return mentions[-1] if mentions and is_last(mentions[-1]) else whole(piece, lexicon)


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
