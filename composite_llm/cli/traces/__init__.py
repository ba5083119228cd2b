"""`composite traces`: one file per command."""

from __future__ import annotations

from composite_llm.cli.lazy_group import Entry, new_app

_HERE = "composite_llm.cli.traces"

COMMANDS: dict[str, Entry] = {
    "list": Entry(
        f"{_HERE}.list:list_runs",
        "List runs, the newest first.",
        "composite traces list --since 7d --status failed",
    ),
    "show": Entry(
        f"{_HERE}.show:show",
        "Show one run: its calls, what they cost, and what went wrong.",
        "composite traces show 3f2a91c0",
    ),
    "open": Entry(
        f"{_HERE}.opening:open_run",
        "Show one run as a page in the browser.",
        "composite traces open 3f2a91c0",
    ),
    "serve": Entry(
        f"{_HERE}.serving:serve",
        "Serve the list of runs and a page of each, on this machine alone.",
        "composite traces serve --port 8765",
    ),
    "export": Entry(
        f"{_HERE}.export:export",
        "Print a run's trace as JSON, as far as it was kept.",
        "composite traces export 3f2a91c0 -o trace.json",
    ),
}
"""Every command, in the order of `composite traces --help`."""

app = new_app(COMMANDS)


@app.callback()
def traces() -> None:
    """Look at past runs."""
