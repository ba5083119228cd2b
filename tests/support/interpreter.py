"""A fresh interpreter, for what only the whole life of one shows."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def run_program(
    source: str, *, environment: Mapping[str, str] | None = None, cwd: Path | None = None, timeout_s: float = 150
) -> subprocess.CompletedProcess[str]:
    """What a program printed and how it ended."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        cwd=cwd or REPOSITORY,
        env={**inherited, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
    )
