"""Sums of many runs as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from composite_llm.cli.output import print_table
from composite_llm.cli.terminal_text import harmless
from composite_llm.model.summary import money

if TYPE_CHECKING:
    from composite_llm.observe.records import Sums

_NUMBERS = ("RUNS", "CALLS", "ATTEMPTS", "FAILED", "TOKENS IN", "TOKENS OUT", "COST")
_ADDED = ("calls", "attempts", "failed", "prompt_tokens", "completion_tokens", "unpriced", "known_cost_usd")


def print_sums(group: str, rows: Sequence[Sums], total: Sums | None = None) -> None:
    """One row for each group, and the total below them.

    Args:
        group: What the groups are, as `model`.
        rows: The sums.
        total: Their total.
    """
    counted = any(row.runs is not None for row in rows)
    numbers = _NUMBERS if counted else _NUMBERS[1:]
    cells = [_cells(harmless(row.group or "(none)"), row, counted=counted) for row in rows]
    if total is not None:
        cells.append(_cells(total.group or "total", total, counted=counted))
    print_table((group.upper(), *numbers), cells, right=numbers)


def total_of(rows: Sequence[Sums]) -> Sums:
    """The sum of sums whose groups do not overlap."""
    from composite_llm.observe.records import Sums

    values: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in _ADDED}
    runs = [row.runs for row in rows if row.runs is not None]
    return Sums(group=None, runs=sum(runs) if runs else None, **values)


def as_json(rows: Sequence[Sums]) -> list[dict[str, Any]]:
    """The rows with their cost, which is no field."""
    return [{**row.model_dump(), "cost_usd": row.cost_usd} for row in rows]


def _cells(name: str, row: Sums, *, counted: bool) -> tuple[str, ...]:
    cost = money(row.known_cost_usd) + (" + ?" if row.unpriced else "")
    numbers = (row.calls, row.attempts, row.failed, row.prompt_tokens, row.completion_tokens)
    runs = (str(row.runs),) if counted else ()
    return (name, *runs, *(str(number) for number in numbers), cost)
