"""JSON as models write it: found in a text, cut off or broken.

The reader is our own, and iterative, since a reviewer's JSON may be cut in the middle, have trailing commas, single or
no quotes, or unescaped quotes in a review that follows an intact ranking; and however deep it is nested, nothing may
recurse.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from composite_llm.strategies.ballots.lexicon import FINAL_WORDS, RANKING_WORDS
from composite_llm.strategies.ballots.text import Span

_MAX_DEPTH = 40

# Commas, the dots that stand for "and so on" in the form that was asked for, and comments.
_GAP = re.compile(r"(?:[\s,\uff0c\u3001]|\.{2,}+|\u2026|//[^\r\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+")
_COLON = re.compile(r"\s*+[:\uff1a]\s*+")
_STRINGS = {
    '"': re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL),
    "'": re.compile(r"'([^'\\]*+(?:\\.[^'\\]*+)*+)'", re.DOTALL),
    # Quotes of a text processor: the one that closes may be straight, or the other language's.
    "\u201c": re.compile(r'\u201c([^\u201c\u201d"]*+)[\u201c\u201d"]'),
    "\u201d": re.compile(r'\u201d([^\u201d"]*+)[\u201d"]'),
    "\u201e": re.compile(r'\u201e([^\u201c\u201d"]*+)[\u201c\u201d"]'),
    "\u00ab": re.compile(r"\u00ab([^\u00bb]*+)\u00bb"),
    "\u300c": re.compile(r"\u300c([^\u300d]*+)\u300d"),
    "\u300e": re.compile(r"\u300e([^\u300f]*+)\u300f"),
    # An apostrophe is no end.
    "\u2018": re.compile(r"\u2018((?:[^\u2019]|\u2019(?!\s*+[,:\uff1a\]}]))*+)\u2019"),
}
_BARE_KEY = re.compile(r"\w++")
_BARE = re.compile(r"[^\s,\[\]{}\"':][^,\[\]{}\"\r\n]*+")
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,20})?")
_LITERALS: dict[str, bool | None] = {"null": None, "none": None, "true": True, "false": False}

Scalar: TypeAlias = str | float | bool | None


@dataclass(slots=True)
class Array:
    """A JSON array; not closed when the text ended or stopped making sense inside it."""

    closing: ClassVar[str] = "]"
    items: list[Value] = field(default_factory=list)
    closed: bool = False


@dataclass(slots=True)
class Object:
    """A JSON object; not closed when the text ended or stopped making sense inside it."""

    closing: ClassVar[str] = "}"
    items: dict[str, Value] = field(default_factory=dict)
    closed: bool = False


Value: TypeAlias = Scalar | Array | Object


class _CutError(Exception):
    """The text ended inside a value."""


class _BrokenError(Exception):
    """The text is not JSON, however tolerantly read."""


class Reader:
    """Reads one object, keeping what was complete when the text ends or stops making sense.

    Attributes:
        root: The object.
        pos: Where reading began, then where it ended.
        cut: Whether the text ended too early.
        steps: How many more values may be read.
    """

    def __init__(self, text: str, pos: int, end: int, steps: int) -> None:
        self._text = text
        self._end = end
        self.pos = pos + 1
        self.root = Object()
        self.cut = False
        self.steps = steps

    def read(self) -> None:
        """Read the object whose brace stands at `pos`."""
        try:
            self._read_all()
        except _CutError:
            self.cut = True
            self.pos = self._end
        except _BrokenError:
            pass

    def _read_all(self) -> None:
        stack: list[Array | Object] = [self.root]
        while stack:
            top = stack[-1]
            if self._next_char() == top.closing:
                self.pos += 1
                top.closed = True
                stack.pop()
                continue
            child = self._put(top)
            if isinstance(child, Array | Object):
                stack.append(child)
                if len(stack) > _MAX_DEPTH:
                    raise _BrokenError

    def _put(self, top: Array | Object) -> Value:
        self.steps -= 1
        if self.steps < 0:
            raise _BrokenError
        if isinstance(top, Array):
            top.items.append(value := self._value())
        else:
            key = self._key()
            top.items[key] = value = self._value()
        return value

    def _key(self) -> str:
        quote = self._next_char()
        key = self._string(quote) if quote in _STRINGS else self._bare(_BARE_KEY)
        if not self._take(_COLON):
            self._next_char()
            raise _BrokenError
        return key

    def _value(self) -> Value:
        char = self._next_char()
        if char in "{[":
            self.pos += 1
            return Object() if char == "{" else Array()
        return self._string(char) if char in _STRINGS else _scalar(self._bare(_BARE))

    def _string(self, quote: str) -> str:
        match = self._take(_STRINGS[quote])
        if not match:
            raise _CutError
        return _unescaped(match[1])

    def _bare(self, pattern: re.Pattern[str]) -> str:
        match = self._take(pattern)
        if not match:
            raise _BrokenError
        if self.pos == self._end:
            raise _CutError
        return match[0].strip()

    def _next_char(self) -> str:
        self._take(_GAP)
        if self.pos >= self._end:
            raise _CutError
        return self._text[self.pos]

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self.pos, self._end)
        if match:
            self.pos = match.end()
        return match


def _unescaped(body: str) -> str:
    if "\\" not in body:
        return body
    try:
        return str(json.loads(f'"{body}"', strict=False))
    except ValueError:
        return body


def _scalar(word: str) -> Scalar:
    if word.casefold() in _LITERALS:
        return _LITERALS[word.casefold()]
    if _NUMBER.fullmatch(word):
        return float(word)
    if not any(char.isalnum() for char in word):
        raise _BrokenError
    return word


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
