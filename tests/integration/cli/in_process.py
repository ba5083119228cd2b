"""The command within this process: LiteLLM is loaded already, which takes a process seconds."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from composite_llm.cli.app import app
from composite_llm.cli.exits import run

_SILENCED = ("composite_llm", "LiteLLM", "LiteLLM Router", "LiteLLM Proxy")


@dataclass(frozen=True)
class Done:
    """How the command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def run_here(capfd: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """As `composite` with these arguments."""
    capfd.readouterr()
    # The command sets up its process, in which nothing else runs.
    levels = {name: logging.getLogger(name).level for name in _SILENCED}
    try:
        code = run(app, list(arguments))
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    out, err = capfd.readouterr()
    return Done(code, out, err)
