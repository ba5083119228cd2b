"""The command `composite`: one file per command. LiteLLM is loaded only by the commands that need it."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point."""
    from composite_llm.cli.loading import begin

    begin(sys.argv[1:])
    from composite_llm.cli.app import app
    from composite_llm.cli.exits import run

    sys.exit(run(app, sys.argv[1:]))
