"""A person who asks sees at once that something happens, while LiteLLM is loaded on a thread."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from composite_llm.cli import loading

ROW = "Loading LiteLLM …"
FIRST = """
import sys
class Terminal:
    def write(self, text):
        sys.stdout.write(f"{text.encode()} {[name for name in ('typer', 'rich', 'litellm') if name in sys.modules]}")
        raise SystemExit
    def isatty(self):
        return True
sys.stderr = Terminal()
sys.argv = ["composite", "ask", "So?"]
from composite_llm.cli import main
main()
"""


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def looked_at(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What is standard error from here on."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_the_row_is_there_before_anything_else_is_loaded() -> None:
    root = Path(__file__).parents[3]
    environment = {"TERM": "xterm", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == f"{ROW.encode()!r} []"


def test_the_row_gives_way_to_whatever_else_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    loading._show()
    loading._show()
    for text in ("Offline", "again"):
        sys.stderr.write(f"{text}\n")
    assert terminal.getvalue() == f"{ROW}\r\x1b[KOffline\nagain\n"
    assert sys.stderr is terminal


@pytest.mark.parametrize("arguments", [[], ["--version"], ["traces"], ["ask", "--help"], ["chat", "-h"]])
def test_what_may_not_need_litellm_does_not_load_it(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    loading.begin(arguments)
    assert terminal.getvalue() == ""
    assert not loading._loading


def test_where_nobody_looks_on_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    loading._show()
    assert stream.getvalue() == ""
