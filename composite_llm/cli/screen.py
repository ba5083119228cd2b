"""The last lines of a terminal, drawn again and again in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.segment import Segment

Line: TypeAlias = "list[Segment]"

_UP = "\x1b[{}A"
_CLEAR_BELOW = "\x1b[J"
_HOME = "\x1b[H"
_HIDE_CURSOR = "\x1b[?25l"
_SHOW_CURSOR = "\x1b[?25h"


class Frame:
    """Lines that replace what they drew before.

    Not rich's `Live`: that one draws on a thread, and leaves half of the old lines on the screen when the window gets
    narrower, since the terminal has broken them into more lines than it counts.

    Args:
        console: A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._widths: list[int] = []

    def draw(self, head: RenderableType, below: RenderableType | None = None) -> None:
        """Show these, one below the other, in the place of what is shown.

        Where the window is too low, the last lines of both are shown, and what is below gets at least half of it.
        """
        from rich.segment import Segment, Segments

        width, height = self._console.size
        options = self._console.options.update(width=width)
        lines = self._console.render_lines(head, options, pad=False)
        rest = [] if below is None else [[], *self._console.render_lines(below, options, pad=False)]
        # The line of the cursor stays free.
        lines, rest = fitting(lines, rest, height - 1)
        lines += rest
        with self._console.capture() as drawn:
            for line in lines:
                self._console.print(Segments([*line, Segment.line()]))
        # In one piece, so that nobody sees the emptied lines.
        self._write(_HIDE_CURSOR + self._to_the_top(width, height) + _CLEAR_BELOW + drawn.get())
        self._widths = [sum(segment.cell_length for segment in line) for line in lines]

    def erase(self) -> None:
        """Remove what is shown; what is printed next stands in its place."""
        if self._widths:
            self._write(self._to_the_top(*self._console.size) + _CLEAR_BELOW + _SHOW_CURSOR)
            self._widths = []

    def _to_the_top(self, width: int, height: int) -> str:
        if not self._widths:
            return ""
        if max(self._widths) > width:
            # The terminal has broken the lines, each in its own way: the old ones go up into the scrollback.
            return "\n" * height + _HOME
        return "\r" + _UP.format(len(self._widths))

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


def fitting(head: list[Line], below: list[Line], room: int) -> tuple[list[Line], list[Line]]:
    """The last lines of both that fit."""
    kept = max(room - len(head), min(len(below), room // 2))
    below = below[-kept:] if kept < len(below) else below
    left = room - len(below)
    return (head[-left:] if left < len(head) else head), below
