"""What a terminal shows: a rich console that writes into an emulated screen."""

from __future__ import annotations

import io

import pyte
from rich.console import Console


class Page:
    """A window of a terminal; what is written into it is interpreted as a terminal would.

    Args:
        columns: Its width.
        lines: Its height.
    """

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=1000, ratio=0.5)
        self._stream = pyte.Stream(self._screen)
        self._written = io.StringIO()
        self.console = Console(
            file=self._written, force_terminal=True, width=columns, height=lines, color_system=None, highlight=False
        )

    def resize(self, columns: int, lines: int) -> None:
        """The window gets another size, as far as both sides know."""
        self.feed()
        self._screen.resize(lines, columns)
        self.console.size = (columns, lines)

    def feed(self) -> None:
        """Let the screen interpret what was written since."""
        # A terminal's driver turns line feeds into carriage returns and line feeds.
        self._stream.feed(self._written.getvalue().replace("\n", "\r\n"))
        self._written.seek(0)
        self._written.truncate()

    @property
    def shown(self) -> list[str]:
        """The lines on the screen without those that are empty at its end."""
        self.feed()
        return _trimmed(self._screen.display)

    @property
    def scrolled_away(self) -> list[str]:
        """The lines that have left the screen at its top."""
        self.feed()
        width = self._screen.columns
        return ["".join(line[x].data for x in range(width)).rstrip() for line in self._screen.history.top]

    @property
    def cursor_is_hidden(self) -> bool:
        """Whether the cursor is to be seen."""
        self.feed()
        return bool(self._screen.cursor.hidden)


def _trimmed(lines: list[str]) -> list[str]:
    lines = [line.rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines
