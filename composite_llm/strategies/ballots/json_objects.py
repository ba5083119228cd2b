"""Where in a text the JSON is that may be a ballot."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from composite_llm.strategies.ballots.languages import FINAL_WORDS, RANKING_WORDS
from composite_llm.strategies.ballots.lenient_json import Object, Reader, Value
from composite_llm.strategies.ballots.span import Span

# Keys and values read from a text, plus attempts to do so. A ballot on 60 candidates has some 200.
_MAX_STEPS = 20_000
_MAX_KEY = 40


def key_name(key: str) -> str:
    """A key as it is compared: "Final Ranking" is "finalranking", and accents do not count."""
    folded = unicodedata.normalize("NFKD", key[:_MAX_KEY])
    return "".join(char for char in folded if char.isalnum()).casefold()


def _names(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(key_name, words))


RANKING = _names(
    (
        *RANKING_WORDS,
        *(f"{final} {word}" for final in FINAL_WORDS for word in RANKING_WORDS),
        *(f"{word} {final}" for final in FINAL_WORDS for word in RANKING_WORDS),
        *("best to worst", "best first", "ranked labels", "ranked list", "ordered labels", "ranked"),
    )
)
SCORES = _names(("scores", "ratings", "points"))
REVIEWS = _names(
    (
        *("reviews", "review", "critiques", "comments", "feedback", "evaluations", "assessments"),
        *("reseñas", "críticas", "comentarios", "avis", "commentaires", "évaluations", "bewertungen", "rezensionen"),
        *("kommentare", "recensioni", "commenti", "avaliações", "comentários", "resenhas", "отзывы", "рецензии"),
        *("评价", "评论", "点评", "評価", "評論", "レビュー", "리뷰", "평가"),
    )
)

_RELEVANT = RANKING | SCORES | REVIEWS
_OPEN = re.compile(r"\{(?=\s*+(?:[\"'}\u201c\u201d\u201e\u00ab\u300c\u300e\u2018]|\w++\s*+[:\uff1a]|\.{2,}|\u2026))")
_FENCE = re.compile(r"^[ \t]*+```[ \t]*+(\w*+)[^\r\n`]*+(?![^\r\n])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class JsonBallot:
    """An object found in the text.

    Attributes:
        root: The object.
        start: Where it begins in the text.
        end: Where it ends, or where reading it did.
        cut: Whether the text ended too early.
    """

    root: Object
    start: int
    end: int
    cut: bool

    def field(self, names: frozenset[str]) -> Value:
        """The first value under any of these names that is not null."""
        items = self.root.items.items()
        return next((value for key, value in items if key_name(key) in names and value is not None), None)

    @property
    def relevant(self) -> bool:
        """Whether it holds anything for a ballot."""
        return any(_is_relevant(key) for key in self.root.items)


def _is_relevant(key: str) -> bool:
    return key_name(key) in _RELEVANT


def objects_in(span: Span) -> Iterator[JsonBallot]:
    """The objects in a span, outermost only.

    The number of steps is limited, and so are the characters spent on starts that lead nowhere: to a multiple of the
    span's. The search ends when either is used up.
    """
    text, pos, end = span
    budget = 8 * (end - pos) + 65_536
    steps = _MAX_STEPS
    while steps > 0 and budget > 0 and (match := _OPEN.search(text, pos, end)):
        reader = Reader(text, match.start(), end, steps)
        reader.read()
        steps = reader.steps - 1
        one = JsonBallot(_unwrapped(reader.root), match.start(), reader.pos, reader.cut)
        yield one
        if one.relevant or reader.root.closed:
            pos = reader.pos
        else:
            pos = match.end()
            budget -= reader.pos - pos


def _unwrapped(root: Object) -> Object:
    """See through {"result": {...}}."""
    while len(root.items) == 1:
        ((key, value),) = root.items.items()
        if not isinstance(value, Object) or _is_relevant(key):
            break
        root = value
    return root


def fences_in(text: str) -> Iterator[Span]:
    """The bodies of closed ``` fences whose language is json or absent."""
    opened: re.Match[str] | None = None
    for mark in _FENCE.finditer(text):
        if opened is None:
            opened = mark
            continue
        if opened[1].casefold() in {"", "json"}:
            yield Span(text, opened.end(), mark.start())
        # A mark with a language opens again: the fence before it was never closed.
        opened = mark if mark[1] else None


def without(text: str, ballots: Iterable[JsonBallot]) -> str:
    """The text around JSON ballots: what such an object holds must not be read a second time as prose."""
    parts, pos = [], 0
    for one in ballots:
        parts.append(text[pos : one.start])
        pos = one.end
    return "\n".join((*parts, text[pos:]))
