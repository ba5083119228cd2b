"""A stretch of a text, looked at without copying it."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
