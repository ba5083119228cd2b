"""The command `composite`: one file per command. LiteLLM is loaded only by the commands that need it."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="composite",
    help="Several language models that answer as one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _composite() -> None:
    """Several language models that answer as one."""


def main() -> None:
    """The entry point."""
    app()
