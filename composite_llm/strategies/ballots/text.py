"""A reviewer's text and pieces of it, which know where they stand; letters of other scripts that look like Latin ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

# How many sections of a text, items of a list and links of a chain are looked at.
MAX_PARTS = 2_000

_LINE = re.compile(r"[^\r\n]++")


class Span(NamedTuple):
    """Part of a text. Patterns see what stands before it, so the rest of a word is not taken for a word."""

    text: str
    start: int
    end: int

    @classmethod
    def of(cls, text: str) -> Span:
        """A whole text."""
        return cls(text, 0, len(text))

    @property
    def ends_text(self) -> bool:
        """Whether the text ends with this span, so that something may be missing there."""
        return self.end == len(self.text)

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The pattern at the beginning of the span."""
        return pattern.match(self.text, self.start, self.end)

    def has(self, pattern: re.Pattern[str]) -> bool:
        """Whether the pattern occurs anywhere."""
        return pattern.search(self.text, self.start, self.end) is not None

    def each(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """The pattern wherever it occurs."""
        return pattern.finditer(self.text, self.start, self.end)

    def after(self, match: re.Match[str]) -> Span:
        """What follows a match."""
        return Span(self.text, match.end(), self.end)

    def last(self, length: int) -> Span:
        """At most so many characters at the end."""
        return Span(self.text, max(self.start, self.end - length), self.end)

    def lines(self) -> Iterator[Span]:
        """The lines that are not empty."""
        return (Span(self.text, *line.span()) for line in self.each(_LINE))

    def pieces(self, separator: re.Pattern[str]) -> Iterator[Span]:
        """What stands between separators; behind many of them, all the rest."""
        start = self.start
        for mark in islice(self.each(separator), MAX_PARTS):
            yield Span(self.text, start, mark.start())
            start = mark.end()
        yield Span(self.text, start, self.end)

    def __str__(self) -> str:
        return self.text[self.start : self.end]


# Full-width forms stand 0xFEE0 above ASCII's. Punctuation that only reviews hold keeps its form.
_WIDE = "".join(chr(code) for code in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B))) + '"#>=[]{}|'
_PLAIN = {ord(char) + 0xFEE0: char for char in _WIDE}

_CYRILLIC = "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЭЮЯ"
_GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"
_TWINS = dict(zip("АВСЕНКМОРТХУЅІЈΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABCEHKMOPTXYSIJABEZHIKMNOPTYX", strict=True))
"""Letters that look like Latin ones, by their own code."""

# A letter alone, as the last word of a label: behind it a quote, a bracket, a separator or the end of the line.
_LABEL_LETTER = re.compile(
    rf"(?<![^\W\d_])[{_CYRILLIC}{_GREEK}ЅІЈ](?=[\"'\u201d\u2019\u00bb\u300d\u300f*_ \t]{{0,4}}(?:[\],>=:)}}|.]|\r|\n|$))"
)
_MOST = 2_000


def with_latin_letters(text: str, labels: Sequence[str]) -> str:
    """The text with the letters of labels in Latin ones, where it is certain which they are.

    "Ответ С" has a letter that looks like C; "Ответ В" may be B, which it looks like, or C, the third of its alphabet. So
    all such letters of the text are looked at together, and where two readings differ they stay as they are.
    """
    text = text.translate(_PLAIN)
    places = [found.start() for found, _ in zip(_LABEL_LETTER.finditer(text), range(_MOST), strict=False)]
    if not places:
        return text
    known = [label.split()[-1] for label in labels if label.split()]
    meant = _meant({text[place] for place in places}, known)
    if not meant:
        return text
    pieces, start = [], 0
    for place in places:
        pieces += [text[start:place], meant[text[place]]]
        start = place + 1
    return "".join([*pieces, text[start:]])


def _meant(letters: set[str], known: Sequence[str]) -> Mapping[str, str]:
    """What the letters stand for; nothing where no reading fits all of them, or two do and differ."""
    readings = [
        {letter: _TWINS.get(letter, "") for letter in letters},
        *({letter: _by_place(letter, alphabet, known) for letter in letters} for alphabet in (_CYRILLIC, _GREEK)),
    ]
    fitting = [reading for reading in readings if _fits(reading, known)]
    return fitting[0] if fitting and all(reading == fitting[0] for reading in fitting) else {}


def _by_place(letter: str, alphabet: str, known: Sequence[str]) -> str:
    place = alphabet.find(letter)
    return known[place] if 0 <= place < len(known) else ""


def _fits(reading: Mapping[str, str], known: Sequence[str]) -> bool:
    return set(reading.values()) <= set(known) and len(set(reading.values())) == len(reading)
