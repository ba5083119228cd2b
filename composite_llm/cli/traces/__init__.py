"""`composite traces`: one file per command."""

from __future__ import annotations

from composite_llm.cli.lazy_group import Entry, new_app

COMMANDS: dict[str, Entry] = {}
"""Every command, in the order of `composite traces --help`."""

app = new_app(COMMANDS)


@app.callback()
def traces() -> None:
    """Look at past runs."""
