"""The example of a picture runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.html_outline import outline
from tests.support.interpreter import REPOSITORY


def test_the_script_writes_a_page_of_what_happened(tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "examples.picture", str(path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    assert ended.stdout.startswith("Measure first: read")
    assert path.as_uri() in ended.stdout
    text = outline(path.read_text(encoding="utf-8")).text
    for part in (
        "fallback_used",
        "member_missing",
        "503 ",
        "401 ",
        "Ballots",
        "Kendall",
        "Whether it copies everything",
    ):
        assert part in text
