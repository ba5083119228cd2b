"""How a comparison is shown: a table that grows while it runs, and the report at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from composite_llm.cli.output import console, print_table
from composite_llm.cli.terminal_text import harmless
from composite_llm.evaluate import markdown
from composite_llm.evaluate.reporting import report_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composite_llm.evaluate import Bench, Report

_SHORTEST_PAUSE_S = 0.2
_STEPS = 10


class View(Protocol):
    """Shows a comparison under way."""

    def changed(self) -> None:
        """An answer has come."""
        ...

    def end(self) -> None:
        """There will be no further one."""
        ...


def view_of(comparison: Bench, *, drawn: bool) -> View:
    """A table in place on a terminal, a line now and then in a pipe."""
    return LiveTable(comparison) if drawn else Lines(comparison)


class LiveTable:
    """The figures of everybody, drawn over."""

    def __init__(self, comparison: Bench) -> None:
        from composite_llm.cli.screen import Frame

        self._comparison = comparison
        self._frame = Frame(console())
        self._next = 0.0

    def changed(self) -> None:
        """As `View`."""
        began = time.monotonic()
        if began < self._next:
            return
        self._frame.draw(self._table())
        # Most of the time must stay for the answers themselves.
        self._next = time.monotonic() + max(_SHORTEST_PAUSE_S, 10 * (time.monotonic() - began))

    def _table(self) -> RenderableType:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place, head in enumerate(markdown.ROW_HEADS):
            table.add_column(head, justify="right" if place else "left", overflow="fold")
        for row in report_of(self._comparison).rows:
            table.add_row(*(Text(harmless(cell)) for cell in markdown.row_cells(row)))
        return table

    def end(self) -> None:
        """As `View`."""
        self._frame.erase()


class Lines:
    """How far it is, ten times in all."""

    def __init__(self, comparison: Bench) -> None:
        self._comparison = comparison
        self._wanted = max(1, comparison.price().requests)
        self._done = 0

    def changed(self) -> None:
        """As `View`."""
        self._done += 1
        step = _STEPS * self._done // self._wanted
        if step != _STEPS * (self._done - 1) // self._wanted:
            spent = markdown.usd(self._comparison.spent_usd)
            print(f"{self._done} of {self._wanted} answers, {spent}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """As `View`."""


def print_report(report: Report) -> None:
    """The report as tables and sentences."""
    print(markdown.summary(report))
    _titled("", markdown.ROW_HEADS, map(markdown.row_cells, report.rows))
    if report.differences:
        _sentences(report.subject, (difference.verdict for difference in report.differences))
        _titled("", markdown.DIFFERENCE_HEADS, map(markdown.difference_cells, report.differences))
    if report.preferences:
        _sentences(report.subject, (difference.verdict for difference in report.preferences))
        _titled("", markdown.PREFERENCE_HEADS, map(markdown.preference_cells, report.preferences))
    if report.judging is not None:
        _sentences("", markdown.judging_lines(report.judging))
    if report.members is not None:
        _sentences("", markdown.member_lines(report.members))
        _titled("", markdown.WORTH_HEADS, markdown.worth_rows(report.members))
    _sentences("", markdown.remarks(report))


def _titled(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(title)
    print_table(heads, ([harmless(cell) for cell in row] for row in rows), right=heads[1:])


def _sentences(subject: str, lines: Iterable[str]) -> None:
    for line in lines:
        print(harmless(f"{subject} is {line}" if subject else line))
