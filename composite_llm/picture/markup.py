"""HTML as values: a string is text and is escaped, and only what is made here is markup. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from composite_llm.picture.visible import visible

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
