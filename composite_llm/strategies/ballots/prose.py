"""A ballot in prose: a final section, a table, a list or chain anywhere, and what is said of each answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from composite_llm.model.wellformed import well_formed
from composite_llm.strategies.ballots.ballot import Found
from composite_llm.strategies.ballots.lexicon import FINAL_WORDS, RANKING_WORDS, Lexicon, Mention, place_of
from composite_llm.strategies.ballots.lines import (
    BETTER,
    Item,
    chains,
    has_medal,
    head,
    is_last,
    item_of,
    labelled_places,
    mentions_of,
    numbered_item,
    whole,
)
from composite_llm.strategies.ballots.text import MAX_PARTS, Span

_RULE = re.compile(r"[ \t]*+\|?(?:[ \t]*+:?-{1,80}+:?[ \t]*+\|?){1,40}+[ \t]*+")
_CELL = re.compile(r"\|")
_PLACES = re.compile(
    r"\W*(?:rank|place|position|pos\.?|#|n[o\u00ba\u00b0]\.?|platz|rang|puesto|posto|lugar|\u043c\u0435\u0441\u0442\u043e|\u540d\u6b21|"
    + "|".join(map(re.escape, RANKING_WORDS))
    + r")\W*",
    re.IGNORECASE,
)
_SCORES = re.compile(
    r"\W*(?:(?:total|overall|final)[ ]?)?(?:scores?|points?|ratings?|punkte|note|puntuaci\u00f3n|points|pontos|\u5f97\u5206|\u5206\u6570|"
    r"\u70b9\u6570|\uc810\uc218|\u043e\u0446\u0435\u043d\u043a\u0430|\u0431\u0430\u043b\u043b\u044b)\W*(?:\([^)]{0,20}\)\W*)?",
    re.IGNORECASE,
)
_SCORE = re.compile(r"\W*(\d{1,6}(?:[.,]\d{1,6})?)\s*(?:(?:/|out of)\s*\d{1,6})?\W*")
_MOST_COLUMNS = 40

Row = Sequence[Span]


def table_ranking(body: Span, lexicon: Lexicon) -> list[Mention]:
    """The labels of the last table that has them beside places or scores, best first; none without such a table."""
    found: list[Mention] = []
    for header, rows in _tables(body):
        found = _ranked(header, rows, lexicon) or found
    return found


def _tables(body: Span) -> Iterator[tuple[Row, Sequence[Row]]]:
    lines = list(islice(body.lines(), MAX_PARTS))
    at = 1
    while at < len(lines):
        if not (lines[at].has(_CELL) and _is_rule(lines[at])):
            at += 1
            continue
        end = next((later for later in range(at + 1, len(lines)) if not lines[later].has(_CELL)), len(lines))
        yield _cells(lines[at - 1]), [_cells(line) for line in lines[at + 1 : end]]
        at = end + 1


def _is_rule(line: Span) -> bool:
    match = line.match(_RULE)
    return match is not None and match.end() == line.end


def _cells(line: Span) -> Row:
    cells = list(islice(line.pieces(_CELL), _MOST_COLUMNS))
    # What stands outside of the first and the last bar.
    inner = cells[1:] if cells and not str(cells[0]).strip() else cells
    return inner[:-1] if inner and not str(inner[-1]).strip() else inner


def _ranked(head: Row, rows: Sequence[Row], lexicon: Lexicon) -> list[Mention]:
    places = _column(head, _PLACES)
    scores = _column(head, _SCORES) if places is None else None
    column = places if places is not None else scores
    if column is None:
        return []
    pairs: list[tuple[float, Mention]] = []
    for row in rows:
        labels = [mention for at, cell in enumerate(row) if at != column and (mention := whole(cell, lexicon))]
        value = _value(row[column], of_places=places is not None) if column < len(row) else None
        if len(labels) != 1 or value is None:
            return []
        pairs.append((value, labels[0]))
    # Tied rows keep their order.
    return [mention for _, mention in sorted(pairs, key=lambda pair: pair[0])]


def _column(head: Row, pattern: re.Pattern[str]) -> int | None:
    return next((at for at, cell in enumerate(head) if pattern.fullmatch(str(cell))), None)


def _value(cell: Span, *, of_places: bool) -> float | None:
    text = str(cell)
    if of_places:
        place = place_of(text.strip(" *_"))
        return None if place is None else float(place)
    score = _SCORE.fullmatch(text)
    return -float(score[1].replace(",", ".")) if score else None


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


def longest_run(text: str, lexicon: Lexicon) -> Sequence[Mention]:
    """The longest numbered list or ">" chain of full labels anywhere in the text; the last of several as long.

    A table with places or scores comes before them, and so do medals.
    """
    best: Sequence[Mention] = table_ranking(Span.of(text), lexicon) or _medals(text, lexicon)
    if best:
        return best
    if next(lexicon.full_in(Span.of(text)), None) is None:
        return best
    for run in _runs(text, lexicon):
        known = {mention.label for mention in run if mention.label}
        # All unknown labels of the best run so far count as one.
        if len(known) >= max(2, len({mention.label for mention in best})):
            best = run
    return best


def _medals(text: str, lexicon: Lexicon) -> Sequence[Mention]:
    """The labels behind medals, however short: nothing else is decorated so."""
    lines = [line for line in Span.of(text).lines() if has_medal(line)][:MAX_PARTS]
    items = [item for line in lines if (item := numbered_item(line, lexicon))]
    return list(mentions_of(items)) if len(items) > 1 else []


def _runs(text: str, lexicon: Lexicon) -> Iterator[Sequence[Mention]]:
    items: list[Item] = []
    for line in Span.of(text).lines():
        if line.has(BETTER):
            yield from chains(line, lexicon, full_first=True)
        item = numbered_item(line, lexicon)
        if item is None:
            continue
        if items and item.number <= 1 < items[-1].number:
            yield _full(items)
            items = []
        items.append(item)
    yield _full(items)


def _full(items: Sequence[Item]) -> list[Mention]:
    return [mention for mention in mentions_of(items) if not mention.short]


# Behind the label: a colon, a dash, or a heading's end.
_INTRODUCES = re.compile(
    r"[*_\"')\]]{0,4}[ \t]{0,3}(?:\([^()\r\n]{0,60}\)[ \t]{0,3})?[*_]{0,3}(?:[:\uff1a]|[\u2013\u2014-](?=[ \t]))[*_ \t]{0,4}"
)
_MARKUP = " \t*_#>-"


def critiques_in(prose: str, lexicon: Lexicon) -> dict[str, str]:
    """Label -> what stands below or behind it; nothing of a text that does not go through the answers one by one.

    What follows the heading of the ranking belongs to none.
    """
    sections = sections_of(prose)
    end = min((section.start for section in sections), default=len(prose))
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in Span(prose, 0, end).lines():
        begun = _begun(line, lexicon)
        if begun is not None:
            label, rest = begun
            # Another part about the same answer is not a second review of it.
            current = found.setdefault(label, [])
            current.append(rest)
        elif current is not None:
            current.append(str(line).strip())
    texts = {label: well_formed("\n".join(_told(lines))) for label, lines in found.items()}
    return {label: text for label, text in texts.items() if any(map(str.isalnum, text))}


def _begun(line: Span, lexicon: Lexicon) -> tuple[str, str] | None:
    """The label whose part the line begins, and what it says already."""
    mention = head(line, lexicon)
    if mention is None or mention.label is None or mention.short:
        return None
    if introduction := mention.rest.match(_INTRODUCES):
        return mention.label, str(mention.rest.after(introduction)).strip()
    if is_last(mention) and numbered_item(line, lexicon) is None:
        return mention.label, ""
    return None


def _told(lines: list[str]) -> Iterator[str]:
    return (line for line in lines if line.strip(_MARKUP))
