"""The command within this process: LiteLLM is loaded already, which takes a process seconds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from composite_llm.cli.app import app
from composite_llm.cli.exits import run


@dataclass(frozen=True)
class Done:
    """How the command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def run_here(capfd: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """As `composite` with these arguments."""
    capfd.readouterr()
    code = run(app, list(arguments))
    out, err = capfd.readouterr()
    return Done(code, out, err)
