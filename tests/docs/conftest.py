"""What the documents' code talks to: the providers of the examples, played on the loopback, found through the environment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# It keeps the `sys.stderr` of its import for the servers that it starts: not that of a test, which is closed afterwards.
import mcp.client.stdio  # noqa: F401
import pytest

from fake_server import ThreadedServer
from tests.docs.anthropic_server import anthropic_in_thread
from tests.docs.blocks import ROOT

_CALL = [{"name": "weather", "arguments": {"city": "Oslo"}}]

OPENAI: dict[str, dict[str, Any]] = {
    # The final model of most examples. What it says goes by what it is asked, the later question first.
    "gpt-4.1": {
        "text": "SQLite. With one server it is faster and there is nothing to operate; move when a second server comes.",
        "by_content": [
            {"contains": "You are reviewing", "then": {}},
            {"contains": "4 degrees", "then": {"text": "Oslo has 4 degrees: take a coat."}},
            {"contains": "the weather in Oslo", "then": {"tool_calls": _CALL}},
            {"contains": "as JSON", "then": {"text": '{"choice": "SQLite", "confidence": 0.8}'}},
        ],
    },
    "gpt-4.1-mini": {
        "text": "SQLite: one file, no server to run, and fast enough for one machine.",
        "by_content": [{"contains": "You are reviewing", "then": {}}],
    },
    "gpt-5-nano": {"error": {"status": 503}},
}
ANTHROPIC = {
    "claude-sonnet-4-6": "Postgres, if a second server is likely; else SQLite in WAL mode, with a backup that you have restored once.",
    "claude-haiku-4-5": "SQLite, unless many processes write at the same time.",
}


@pytest.fixture(scope="session")
def _anthropic() -> Iterator[str]:
    with anthropic_in_thread(ANTHROPIC) as url:
        yield url


@pytest.fixture
def upstream(server: ThreadedServer, _anthropic: str, monkeypatch: pytest.MonkeyPatch) -> ThreadedServer:
    """All providers, where the environment says; nothing is patched."""
    for model, scenario in OPENAI.items():
        server.set_scenario(model, scenario)
    monkeypatch.setenv("OPENAI_API_BASE", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-documents")
    monkeypatch.setenv("ANTHROPIC_API_BASE", _anthropic)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-documents")
    # The local servers of the pages speak both forms at one address.
    monkeypatch.setenv("OLLAMA_API_BASE", server.url)
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", server.base_url)
    return server


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory with the examples in it, as a reader has them; what they register is gone afterwards."""
    import composite_llm
    from composite_llm import runtime

    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    # No public call takes a Router or an executor back.
    runtime.use_router(None)
    runtime._services = None
    composite_llm.register(config={})
