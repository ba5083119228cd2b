"""Text of models on a terminal: as it is or as Markdown, and never able to move the cursor, change colours or set a title."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


# C0 without tab and line feed, DEL and C1; the escape that begins every control sequence is among them.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """The text without control characters."""
    return _CONTROL.sub("", text)


def rendered(text: str) -> RenderableType:
    """Markdown in the terminal's own colours, so that it can be read on any background."""
    from rich.markdown import Markdown

    return Markdown(harmless(text), code_theme="ansi_dark", hyperlinks=False)


def use_terminal_colours(console: Console) -> None:
    """Code that rich sets on black would be a hole in a light terminal."""
    from rich.theme import Theme

    console.push_theme(Theme({"markdown.code": "cyan", "markdown.code_block": "cyan"}))
