"""The members of a run as a table: one row each, under their stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composite_llm.cli.progress import Progress, Row
from composite_llm.cli.terminal_text import harmless
from composite_llm.model.structured_text import Degradation
from composite_llm.model.summary import money

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_MARKS = {"waiting": "·", "done": "✓", "failed": "✗", "dropped": "-"}
_STYLES = {"waiting": "dim", "writing": "cyan", "done": "green", "failed": "red", "dropped": "yellow"}
_TURNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TURNS_PER_SECOND = 10
_LAYOUTS = ((72, 5, 46), (46, 4, 34), (0, 3, 22))
"""From so many columns on: the cells of a row (the money goes first, then the tokens), and what all but the name take."""
_SHORTEST_NAME = 10


def members_table(progress: Progress, now: float, width: int) -> RenderableType:
    """Every stage with its rows.

    Args:
        progress: What is known.
        now: By the clock of `progress`.
        width: Columns of the terminal.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    columns, rest = next((cells, taken) for least, cells, taken in _LAYOUTS if width >= least)
    longest = max(_SHORTEST_NAME, width - rest)
    table.add_column(no_wrap=True, overflow="crop")
    table.add_column(no_wrap=True)
    for _ in range(columns - 2):
        table.add_column(justify="right", no_wrap=True)
    for stage in progress.stages:
        table.add_row(Text(harmless(stage.heading), style="bold"))
        for row in stage.rows:
            table.add_row(*_cells(row, now, longest)[:columns])
    return table


def remarks(progress: Progress) -> list[Text]:
    """What is worth knowing of the plan, and what went otherwise than configured, one line each."""
    from rich.text import Text

    failed = [
        line
        for stage in progress.stages
        for row in stage.rows
        if row.state == "failed" and row.note
        for line in (
            Text.assemble((f"✗ {stage.name}: {harmless(row.name)}: ", "red"), harmless(row.note)),
            *([Text(f"  {said_by_provider(row.provider_message)}", "dim")] if row.provider_message else []),
        )
    ]
    degraded = [Text.assemble(("! ", "yellow"), harmless(reason)) for reason in progress.degraded if not _told(reason)]
    return [*(Text(harmless(note), "dim") for note in progress.notes), *failed, *degraded]


def said_by_provider(sentence: str) -> str:
    """A provider's own sentence on a terminal."""
    return f"the provider said: {harmless(sentence)}"


def _told(reason: Degradation) -> bool:
    """Whether a failed row says the same."""
    return reason.code == "member_missing"


def _shortened(name: str, longest: int) -> str:
    """Without its beginning, where it is too long: models of one provider differ at the end."""
    return name if len(name) <= longest else "…" + name[1 - longest :]


def _cells(row: Row, now: float, longest: int) -> list[Text]:
    from rich.text import Text

    style, name = _STYLES[row.state], _shortened(harmless(row.name), longest)
    seconds = row.elapsed(now)
    tokens = row.usage.total_tokens if row.usage is not None else 0
    return [
        Text.assemble("  ", (_mark(row, now), style), " ", (name, "dim" if row.state == "waiting" else "")),
        Text(_state(row), style=style),
        Text("" if seconds is None else f"{seconds:.1f} s"),
        Text(f"{tokens} tok" if tokens else ""),
        Text(_cost(row) if tokens else ""),
    ]


def _mark(row: Row, now: float) -> str:
    return _TURNS[int(now * _TURNS_PER_SECOND) % len(_TURNS)] if row.state == "writing" else _MARKS[row.state]


def _state(row: Row) -> str:
    if row.state == "writing" and row.attempts > 1:
        return f"try {row.attempts}"
    return row.state


def _cost(row: Row) -> str:
    return "no price" if row.cost_usd is None else money(row.cost_usd)
