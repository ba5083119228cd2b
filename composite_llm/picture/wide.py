"""A table that scrolls by itself where the window is narrower than it is. Pure."""

from __future__ import annotations

from composite_llm.picture.markup import Html, element


def wide(table: Html, name: str) -> Html:
    """The table in a region that a keyboard can reach and scroll."""
    return element("div", table, class_="wide", role="region", aria_label=name, tabindex=0)
