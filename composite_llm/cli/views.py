"""How a run is shown while it is under way, and when it is over: on a terminal, or in a pipe."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Protocol

from composite_llm.cli.output import console
from composite_llm.cli.progress import Progress, provider_message
from composite_llm.cli.screen import Frame
from composite_llm.cli.table import members_table, remarks, said_by_provider
from composite_llm.cli.terminal_text import harmless, rendered, use_terminal_colours
from composite_llm.model.events import CallDone, Event
from composite_llm.model.review_labels import readable
from composite_llm.model.summary import analysis_text, brief_line, event_text, vote_table

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHORTEST_PAUSE_S = 0.08


class View(Protocol):
    """Shows one run."""

    async def watch(self) -> None:
        """Runs beside the run, until it is cancelled."""
        ...

    def add(self, text: str) -> None:
        """A piece of the answer has come."""
        ...

    def end(self) -> None:
        """The run is over, or was broken off; what stays on the screen is printed now."""
        ...


class LiveView:
    """For a terminal: the members as rows, the answer as Markdown below them, in place until the run is over.

    Args:
        progress: Of the run.
        full: Whether each member's own text is shown at the end.
    """

    def __init__(self, progress: Progress, *, full: bool = False) -> None:
        self._progress = progress
        self._full = full
        self._console = console()
        use_terminal_colours(self._console)
        self._frame = Frame(self._console)
        self._text = ""

    async def watch(self) -> None:
        """As `View`."""
        while True:
            before = self._progress.clock()
            self._draw()
            # A long answer takes a while to lay out; most of the time must stay for the run itself.
            await asyncio.sleep(max(_SHORTEST_PAUSE_S, 4 * (self._progress.clock() - before)))

    def add(self, text: str) -> None:
        """As `View`."""
        self._text += text

    def end(self) -> None:
        """As `View`."""
        self._frame.erase()
        out, trace = self._console, self._progress.trace
        out.print(self._table())
        for remark in remarks(self._progress):
            out.print(remark)
        if self._full and trace is not None:
            self._print_members()
        if trace is not None and trace.analysis is not None and (compared := analysis_text(trace.analysis)):
            out.print()
            out.print(harmless(compared), style="dim", markup=False)
        if self._text:
            out.print()
            out.print(rendered(self._text))
        if trace is not None:
            out.print()
            out.print(brief_line(trace), style="dim", markup=False)

    def _draw(self) -> None:
        self._frame.draw(self._table(), rendered(self._text) if self._text else None)

    def _table(self) -> RenderableType:
        return members_table(self._progress, self._progress.clock(), self._console.width)

    def _print_members(self) -> None:
        trace = self._progress.trace
        assert trace is not None
        for call in trace.children(None):
            if call.content and not call.final:
                self._console.print()
                self._console.rule(f"{call.name} ({call.role})", align="left", style="dim")
                self._console.print(rendered(readable(call) or ""))
        if trace.ranking is not None:
            self._console.print()
            self._console.print(vote_table(trace.ranking), style="dim", markup=False)
        self._console.rule(style="dim")


class PlainView:
    """For a pipe: the answer on standard output as it comes, what the members do on standard error.

    Args:
        progress: Of the run.
        full: Whether each member's own text is among it.
        quiet: Whether standard error stays empty.
    """

    def __init__(self, progress: Progress, *, full: bool = False, quiet: bool = False) -> None:
        self._progress = progress
        self._full = full
        self._quiet = quiet
        self._ended_with = "\n"
        progress.told = self._tell

    async def watch(self) -> None:
        """As `View`: each event is told when it comes."""
        for note in self._progress.notes:
            self._say(note)
        await asyncio.Event().wait()

    def add(self, text: str) -> None:
        """As `View`."""
        print(text, end="", flush=True)
        self._ended_with = text

    def end(self) -> None:
        """As `View`."""
        if not self._ended_with.endswith("\n"):
            print(flush=True)
        if self._progress.trace is not None:
            self._say(brief_line(self._progress.trace))

    def _tell(self, event: Event) -> None:
        if (text := event_text(event, full=self._full)) is not None:
            self._say(text.rstrip("\n"))
        if isinstance(event, CallDone) and (sentence := provider_message(event.call)) is not None:
            self._say(f"  {said_by_provider(sentence)}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)


class SilentView:
    """Keeps the answer for whoever prints it: `--json`."""

    async def watch(self) -> None:
        """As `View`."""
        await asyncio.Event().wait()

    def add(self, text: str) -> None:
        """As `View`."""

    def end(self) -> None:
        """As `View`."""
