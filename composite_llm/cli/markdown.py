"""An answer's Markdown on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composite_llm.cli.terminal_text import harmless

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def rendered(text: str) -> RenderableType:
    """Markdown in the terminal's own colours, so that it can be read on any background."""
    from rich.markdown import Markdown

    return Markdown(harmless(text), code_theme="ansi_dark", hyperlinks=False)


def use_terminal_colours(console: Console) -> None:
    """Code that rich sets on black would be a hole in a light terminal."""
    from rich.theme import Theme

    console.push_theme(Theme({"markdown.code": "cyan", "markdown.code_block": "cyan"}))
