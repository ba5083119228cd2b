"""Markdown tables that rank: a column of labels beside one of places, or of scores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from composite_llm.strategies.ballots.heads import whole
from composite_llm.strategies.ballots.languages import RANKING_WORDS
from composite_llm.strategies.ballots.lexicon import Lexicon, Mention
from composite_llm.strategies.ballots.ordinals import place_of
from composite_llm.strategies.ballots.span import MAX_PARTS, Span

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
    for head, rows in _tables(body):
        found = _ranked(head, rows, lexicon) or found
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
