"""`composite bench`, as a process with the real LiteLLM against the fake server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fake_server import ThreadedServer
from tests.integration.cli.in_process import run_here
from tests.support.commands import environment, run_command

FINAL, MEMBER = "openai/gpt-4.1", "openai/gpt-4.1-mini"


def words(server: ThreadedServer, *more: str) -> list[str]:
    connection = ["-o", f"api_base={server.base_url}", "-o", "api_key=key-of-a-test"]
    return ["bench", "q.jsonl", "-m", FINAL, "-p", MEMBER, *connection, *more]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a file of ten questions whose answer is 4."""
    lines = [json.dumps({"question": f"What is {number} - {number - 4}?", "answer": 4}) for number in range(4, 14)]
    (tmp_path / "q.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_it_says_the_price_first_then_whether_it_pays_and_asks_nothing_twice(
    server: ThreadedServer, folder: Path
) -> None:
    server.set_scenario("gpt-4.1", {"text": "Answer: 4"})
    server.set_scenario("gpt-4.1-mini", {"text": "Answer: 5"})
    done = run_command(words(server, "--html", "r.html", "--markdown", "r.md"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("20 answers are wanted: 30 calls, $")
    assert len(server.ledger.records) == 30
    assert f"moa/{FINAL} is better than {MEMBER} by 100.0 points" in done.stdout
    assert f"moa/{FINAL} is not distinguishable from solo at n=10: the sample is too small" in done.stdout
    assert "solo\t10 of 10\t100.0 %\t72.2 to 100.0" in done.stdout
    assert "<svg" in (folder / "r.html").read_text(encoding="utf-8")
    assert "| majority | 0 of 10 | 0.0 % | 0.0 to 27.8 |" in (folder / "r.md").read_text(encoding="utf-8")

    again = run_command(words(server, "--json", "--against", "solo,members"), cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "0 answers are wanted, 20 are there already" in again.stderr
    assert len(server.ledger.records) == 30
    report = json.loads(again.stdout)
    assert [(row["name"], row["right"]) for row in report["rows"]] == [
        (f"moa/{FINAL}", 10),
        ("solo", 10),
        (MEMBER, 0),
    ]
    assert report["spent_usd"] == 0


def test_killed_in_the_middle_it_goes_on_where_it_was(server: ThreadedServer, folder: Path) -> None:
    server.set_scenario("*", {"text": "Answer: 4"})
    command = [sys.executable, "-m", "composite_llm", *words(server, "--max-parallel", "1", "--against", "solo")]
    with subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("6 of 20 answers"):
                break
        process.send_signal(signal.SIGKILL)
    kept = (folder / "q.results.jsonl").read_text(encoding="utf-8").count("\n")
    assert 6 <= kept < 20
    done = run_command(words(server, "--against", "solo"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"{20 - kept} answers are wanted, {kept} are there already")
    # Only what had not come to its end when it was killed was asked twice.
    assert len(server.ledger.records) <= 30 + 2


def test_offline_it_can_be_tried_at_once(tmp_path: Path) -> None:
    done = run_command(["bench", "generated:8", "--offline", "--json", "-s", "council"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["questions"] == 8
    assert all(row["questions"] == 8 for row in report["rows"])
    assert report["rows"][0]["right"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.jsonl", "-m", FINAL], "absent.jsonl: No such file or directory"),
        (["generated:many", "-m", FINAL], "write generated:200"),
        (["generated", "-m", FINAL, "--score", "judge"], "--score judge needs --judge MODEL"),
        (["generated", "-m", FINAL, "--against", "sole"], "nearest: 'solo'"),
    ],
)
def test_a_mistake_ends_with_two_and_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_here(capfd, "bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
