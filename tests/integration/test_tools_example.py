"""The example with a tool runs, with one provider in the place of two."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_server import ThreadedServer
from tests.support import wire

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "tools.py"


def test_the_example_prints_the_answer_and_what_the_tool_did(
    server: ThreadedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = {"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}
    server.set_scenario("gpt-4.1", {"sequence": [call, {"text": "Take a coat."}]})
    source = EXAMPLE.read_text().replace("anthropic/claude-haiku-4-5", "openai/gpt-4o-mini")
    monkeypatch.setenv("OPENAI_API_BASE", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-example")
    exec(compile(source, str(EXAMPLE), "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "Take a coat.",
        "weather({'city': 'Oslo'}) -> " + '{"city": "Oslo", "weather": "4 degrees, clear"}',
    ]
    assert wire.models(server) == ["gpt-4o-mini", "gpt-4.1", "gpt-4.1"]
