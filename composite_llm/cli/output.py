"""What the commands print on: rich on a terminal, plain text in a pipe, JSON when asked for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
"""The option `--json` of a command that shows data."""


def on_terminal() -> bool:
    """Whether standard output is one."""
    return sys.stdout.isatty()


def drawing() -> bool:
    """Whether what is printed may be drawn over: a terminal that can move its cursor."""
    return on_terminal() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def console(*, stderr: bool = False) -> Console:
    """A rich console; it minds `NO_COLOR`, `TERM=dumb` and pipes by itself."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=not (sys.stderr if stderr else sys.stdout).isatty())


def print_json(value: Any) -> None:
    """One JSON document; pydantic models and dates in their JSON form."""
    from pydantic_core import to_jsonable_python

    print(json.dumps(to_jsonable_python(value), indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> None:
    """A table: drawn on a terminal; in a pipe one row a line, its cells apart by tabs, so that `cut` and `awk` read it.

    Args:
        columns: The heads.
        rows: Their cells; plain text, never markup.
        right: The columns that hold numbers.
    """
    if not on_terminal():
        for row in [columns, *rows]:
            print("\t".join(" ".join(cell.split()) for cell in row))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    numbers = set(right)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)
