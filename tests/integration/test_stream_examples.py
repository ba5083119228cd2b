"""The examples of streams run: the script, and the notebook in a kernel of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.interpreter import REPOSITORY

EXAMPLES = REPOSITORY / "examples"


def test_the_script_prints_the_deliberation_and_then_the_answer() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "examples.stream"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    parts = [
        "Answers: asking",
        "✓ openai/gpt-4o-mini",
        "Reviews: asking",
        "Vote (borda",
        "Measure first: read",
        "7 calls",
    ]
    places = [ended.stdout.index(part) for part in parts]
    assert places == sorted(places)


# Jupyter, about the platform directories of its next major release.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_and_shows_a_live_council(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    notebook: Any = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    printed = [
        "".join(out.get("text", "") for out in cell.outputs) for cell in notebook.cells if cell.cell_type == "code"
    ]
    assert "Vote (borda, 3 ballots)" in printed[1]
    assert printed[1].index("Answers: asking") < printed[1].index("Start with a modular monolith")
    assert printed[2].splitlines()[-1].startswith("7 calls, ")
    (picture,) = notebook.cells[-2].outputs
    assert 'class="composite-trace fragment"' in picture["data"]["text/html"]
    assert printed[3] == "Start with a modular monolith, and split when you measure that you must.\n"


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook: Any = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    assert not any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
