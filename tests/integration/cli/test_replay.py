"""`composite replay`, as a process with the real LiteLLM against the fake server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_server import ThreadedServer
from tests.support.commands import run_command

# A process that loads LiteLLM takes its time on a busy machine.
pytestmark = pytest.mark.timeout(180)


def test_a_kept_panel_is_counted_anew_and_has_another_chairman(server: ThreadedServer, tmp_path: Path) -> None:
    connection = ["-o", f"api_base={server.base_url}", "-o", "api_key=key-of-a-test"]
    members = [word for member in "abc" for word in ("-p", f"openai/{member}")]
    council = ["-s", "council", "-m", "openai/chair", *members, *connection]
    asked = run_command(["ask", *council, "--keep", "panel.json", "--trace", "t.json", "Which way?"], cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    kept = json.loads((tmp_path / "panel.json").read_text(encoding="utf-8"))
    assert kept["messages"] == [{"role": "user", "content": "Which way?"}]
    server.ledger.clear()

    counted = run_command(["replay", "panel.json", "t.json", "--ranking", "copeland", "--json"], cwd=tmp_path)
    assert counted.returncode == 0, counted.stderr
    first, second = json.loads(counted.stdout)
    assert (first["calls"], first["ranking"]["method"], first["ranking_before"]["method"]) == (0, "copeland", "borda")
    assert second["content"] == asked.stdout.rstrip("\n")
    assert server.ledger.records == []

    server.set_scenario("other", {"text": "otherwise"})
    again = run_command(["replay", "panel.json", "--chairman", "openai/other", *connection], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("panel.json: 1 calls, ")
    assert again.stdout.rstrip().endswith("Now:\notherwise")
    assert [record.model for record in server.ledger.records] == ["other"]


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        ("{", [], "is no JSON"),
        ('{"a": 1}', [], "holds no trace"),
        ("[]", ["--chairman", "{"], "write a model string, or a node as YAML"),
    ],
)
def test_a_mistake_ends_with_two_and_one_line(tmp_path: Path, content: str, arguments: list[str], said: str) -> None:
    (tmp_path / "x.json").write_text(content, encoding="utf-8")
    done = run_command(["replay", "x.json", *arguments], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
