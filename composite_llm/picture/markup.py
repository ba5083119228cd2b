"""HTML as values: a string is text and is escaped, and only what is made here is markup. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Embeddings, overrides and isolates: they can show a text in another order than it was written ("Trojan Source").

The plain marks LRM, RLM and ALM only nudge neutral characters and belong to ordinary Hebrew and Arabic.
"""

_SHOWN: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{
        code: f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{code:04X}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
        for code in (*range(0x80, 0xA0), *_BIDI)
    },
    # No encoder takes half of a pair; JSON of a model can hold one.
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
}


def visible(text: str) -> str:
    """The text with line ends as line feeds, and controls as signs of themselves."""
    if text.isascii() and text.isprintable():
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_SHOWN)


_VOID = frozenset({"br", "meta", "link", "input", "col", "line", "rect", "path", "circle"})
"""Written without an end tag; those of SVG close themselves."""


@dataclass(frozen=True, slots=True)
class Html:
    """Finished markup. Made by `element`, `joined` and `literal` only, so that nothing else is taken for it."""

    source: str


Child = Html | str | None
Attribute = str | int | bool | None


def element(tag: str, /, *children: Child, **attributes: Attribute) -> Html:
    """One element with its children.

    Args:
        tag: Its name, from code, never from data.
        children: Markup as it is, strings as text; None is left out.
        attributes: A trailing underscore is dropped and the others become hyphens (`class_`, `aria_label`); True is a
            bare attribute, None and False leave it out.
    """
    opening = f"<{tag}{''.join(_attribute(name, value) for name, value in attributes.items())}"
    if tag in _VOID:
        return Html(f"{opening}/>")
    return Html(f"{opening}>{''.join(map(_child, children))}</{tag}>")


def joined(children: Iterable[Child]) -> Html:
    """Siblings without an element around them."""
    return Html("".join(map(_child, children)))


def literal(source: str) -> Html:
    """Markup that stands in the code or in a file of the package; never anything that came with a trace."""
    return Html(source)


def escaped(text: str) -> str:
    """Text for between tags and for inside quoted attributes: the one place where data becomes HTML."""
    return html.escape(visible(text), quote=True)


def _child(child: Child) -> str:
    if child is None:
        return ""
    return child.source if isinstance(child, Html) else escaped(child)


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{escaped(str(value))}"'


def wide(table: Html, name: str) -> Html:
    """The table in a region that a keyboard can reach and scroll."""
    return element("div", table, class_="wide", role="region", aria_label=name, tabindex=0)
