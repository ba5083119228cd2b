"""`composite batch`, as a process with the real LiteLLM against the fake server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fake_server import ThreadedServer
from tests.support.commands import environment, run_command

COUNT = 30


def words(server: ThreadedServer, *more: str) -> list[str]:
    connection = ["-o", f"api_base={server.base_url}", "-o", "api_key=key-of-a-test"]
    return ["batch", "in.jsonl", "out.jsonl", "-m", "openai/gpt-4.1", "-p", "openai/gpt-4.1-mini", *connection, *more]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = (json.dumps({"messages": [{"role": "user", "content": f"question {one:02}."}]}) for one in range(COUNT))
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_broken_off_it_goes_on_where_it_was(server: ThreadedServer, folder: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "composite_llm", *words(server, "--max-parallel", "2")]
    with subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"{COUNT} requests are open: $")
        assert process.stderr.readline().startswith("3 of 30 requests, $")
        process.send_signal(how)
        process.stderr.read()
        code = process.wait()
    assert code == (130 if how is signal.SIGINT else -signal.SIGKILL)
    lines = (folder / "out.jsonl").read_text(encoding="utf-8").split("\n")
    kept = {json.loads(line)["custom_id"] for line in lines[:-1]}
    assert 3 <= len(kept) < COUNT

    done = run_command(words(server, "--json"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"({len(kept)} are there already)" in done.stderr
    bill = json.loads(done.stdout)
    assert (bill["answered"], bill["failed"], bill["open"], bill["calls"]) == (COUNT, 0, 0, 2 * COUNT)
    finals = [record for record in server.ledger.records if record.model == "gpt-4.1"]
    # A kill loses the two that were under way; Ctrl-C waits for them.
    assert COUNT <= len(finals) <= COUNT + (2 if how is signal.SIGKILL else 0)
    written = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(entry["custom_id"] for entry in written) == sorted(f"request-{one + 1}" for one in range(COUNT))


def test_it_ends_with_one_when_a_request_failed_and_says_so_in_the_bill(server: ThreadedServer, folder: Path) -> None:
    by_content = [{"contains": "question 07.", "then": {"error": {"status": 400}}}]
    server.set_scenario("*", {"text": "fine", "by_content": by_content})
    done = run_command(words(server), cwd=folder)
    assert done.returncode == 1
    assert done.stdout.startswith("29 answered · 1 failed · 0 open · ")
    assert "29 of 30" in done.stderr or "30 of 30" in done.stderr
