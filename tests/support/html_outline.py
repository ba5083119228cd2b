"""What a piece of HTML is made of, as a parser sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_SAID = frozenset({"aria-label"})
"""Attributes that hold text."""


@dataclass(slots=True)
class Outline:
    """The tags in their order, with their attributes, and apart from them what is said."""

    tags: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text on one line, what stands in different elements with a space between."""
        return " ".join(" ".join(self.said).split())


def outline(html: str) -> Outline:
    """Parse it."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Outline()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        self.found.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        written = [name if name in _SAID else f"{name}={value!r}" for name, value in attrs]
        self.found.tags.append(" ".join([tag, *written]))
        self.found.said += [value or "" for name, value in attrs if name in _SAID]

    def handle_endtag(self, tag: str) -> None:
        self.found.tags.append(f"/{tag}")
        assert self.found.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.found.said.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.tags.append(f"!--{data}")

    def handle_decl(self, decl: str) -> None:
        self.found.tags.append(f"!{decl}")

    def unknown_decl(self, data: str) -> None:
        self.found.tags.append(f"!{data}")

    def handle_pi(self, data: str) -> None:
        self.found.tags.append(f"?{data}")
