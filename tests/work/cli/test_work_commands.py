"""`composite memory`, `task`, `run` and `do`, as they are typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from composite_llm.cli.app import app
from composite_llm.cli.exits import run as run_app
from fake_server import ThreadedServer

SCRIPT = Path(__file__).resolve().parents[2] / "assets" / "mcp_tool_server.py"
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Exit code, output and errors of a command that is typed in the project."""
    monkeypatch.chdir(project)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_app(app, words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def upstream(server: ThreadedServer, monkeypatch: pytest.MonkeyPatch) -> ThreadedServer:
    monkeypatch.setenv("OPENAI_API_BASE", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return server


def test_facts_are_added_shown_found_and_forgotten(typed: Typed) -> None:
    assert typed("memory", "add", "database", "SQLite in WAL mode", "--source", "DESIGN.md")[0] == 0
    assert typed("memory", "show")[1] == "key\tvalue\tsource\ndatabase\tSQLite in WAL mode\tDESIGN.md\n"
    assert json.loads(typed("memory", "show", "--json")[1])["facts"][0]["key"] == "database"
    assert typed("memory", "search", "wal")[1].startswith("fact database\n")
    assert typed("memory", "forget", "database")[0] == 0
    code, _, error = typed("memory", "forget", "database")
    assert (code, error) == (1, "composite: there is neither a fact nor a file 'database'\n")
    assert typed("memory", "search", "wal")[0] == 1
    assert typed("memory", "search", "wal", "--max-tokens", "0")[0] == 2


def test_a_secret_is_not_remembered(typed: Typed) -> None:
    code, _, error = typed("memory", "add", "password", "hunter2hunter")
    assert code != 0
    assert "secrets are not remembered" in error
    assert "hunter2" not in error


def test_a_project_is_indexed(typed: Typed) -> None:
    assert typed("memory", "index")[1] == "2 read, 0 unchanged, 0 gone, 0 left out\n"
    found = json.loads(typed("memory", "search", "return", "--json")[1])
    assert found[0]["source"] == "src/app.py:1-2"
    assert typed("memory", "index", "..")[0] == 2
    assert json.loads(typed("memory", "index", "src", "--json")[1])["unchanged"] == 1


def test_a_task_is_added_done_and_shown(typed: Typed, upstream: ThreadedServer) -> None:
    upstream.set_scenario(
        "gpt-4.1", {"text": "done", "by_content": [{"contains": "database: SQLite", "then": {"text": "knew it"}}]}
    )
    typed("memory", "add", "database", "SQLite")
    id = typed("task", "add", "Summarize", "--fact", "database", "--priority", "3")[1].strip()
    assert typed("task", "list", "--status", "queued")[1] == f"id\tstatus\ttitle\terror\n{id}\tqueued\tSummarize\t\n"
    assert typed("task", "run", "--model", "openai/gpt-4.1")[:2] == (0, f"{id} done Summarize\n")
    shown = typed("task", "show", id)[1]
    assert "knew it" in shown
    assert "begun" in shown
    whole = json.loads(typed("task", "show", id, "--json")[1])
    assert (whole["task"]["status"], whole["artefacts"]["answer"]) == ("done", "knew it")


def test_a_task_is_cancelled_and_resumed(typed: Typed, upstream: ThreadedServer) -> None:
    upstream.set_scenario("gpt-4.1", {"error": {"status": 401}})
    id = typed("task", "add", "x")[1].strip()
    assert typed("task", "cancel", id)[0] == 0
    code, _, error = typed("task", "run", id, "--model", "openai/gpt-4.1")
    assert (code, f"task {id} cannot be taken: it is cancelled" in error) == (1, True)
    assert typed("task", "resume", id)[0] == 0
    code, out, _ = typed("task", "run", id, "--model", "openai/gpt-4.1")
    assert code == 1
    assert "all models failed" in out
    assert json.loads(typed("task", "list", "--json")[1])[0]["status"] == "queued"


@pytest.mark.parametrize(
    "words", [("task", "show", "nothing"), ("task", "list", "--status", "odd"), ("task", "run", "nothing")]
)
def test_what_is_no_task_is_said(typed: Typed, words: tuple[str, ...]) -> None:
    code, _, error = typed(*words)
    assert code == 2
    assert error.startswith("composite: ")
    assert len(error.splitlines()) == 1


def judge(real: bool) -> str:
    return json.dumps({"real": real, "severity": "high", "confidence": 0.9, "reason": "r", "fix": "use json"})


def test_a_workflow_as_a_task_keeps_its_report(typed: Typed, upstream: ThreadedServer, project: Path) -> None:
    (project / "load.py").write_text("pickle.loads(data)\n")
    upstream.set_scenario("gpt-4.1", {"text": judge(real=True)})
    id = typed("task", "add", "Audit", "--workflow", "security-audit")[1].strip()
    assert typed("task", "run", id, "--model", "openai/gpt-4.1")[0] == 0
    artefacts = json.loads(typed("task", "show", id, "--json")[1])["artefacts"]
    assert "use json" in artefacts["report"]
    assert json.loads(artefacts["usage"])["calls"] == 2


@pytest.mark.parametrize(("form", "mark"), [("markdown", "`load.py:1`"), ("sarif", '"ruleId"'), ("json", '"findings"')])
def test_an_audit_prints_what_it_found_and_says_so_to_ci(
    typed: Typed, upstream: ThreadedServer, project: Path, form: str, mark: str
) -> None:
    (project / "load.py").write_text("pickle.loads(data)\n")
    upstream.set_scenario("gpt-4.1", {"text": judge(real=True)})
    upstream.set_scenario("gpt-4o", {"text": judge(real=True)})
    words = (
        "run",
        "security-audit",
        ".",
        "--tier",
        "premium=openai/gpt-4o",
        "--model",
        "openai/gpt-4.1",
        "--format",
        form,
    )
    code, out, error = typed(*words)
    assert code == 3
    assert mark in out
    assert "triage: ok, 1 calls" in error
    assert typed(*words, "--fail-on", "critical", "--output", "found.txt")[:2] == (0, "")
    assert mark in (project / "found.txt").read_text()


def test_an_audit_that_finds_nothing_ends_well(typed: Typed, upstream: ThreadedServer) -> None:
    code, out, _ = typed("run", "security-audit", "--model", "openai/gpt-4.1")
    assert code == 0
    assert "Nothing was found." in out


def test_a_workflow_of_ones_own_takes_inputs(typed: Typed, upstream: ThreadedServer, project: Path) -> None:
    (project / "w.yaml").write_text(
        "name: w\ninputs: {n: 1}\nsteps: [{name: a, prompt: 'number {{ inputs.n + 1 }}'}]\n"
    )
    upstream.set_scenario("gpt-4.1", {"text": "odd", "by_content": [{"contains": "number 6", "then": {"text": "six"}}]})
    assert "six" in typed("run", "w.yaml", "--input", "n=5", "--model", "openai/gpt-4.1")[1]


@pytest.mark.parametrize(
    "words",
    [
        ("run", "nothing"),
        ("run", "security-audit", "no-such-folder"),
        ("run", "security-audit", "--input", "odd=1"),
        ("run", "security-audit", "--max-cost-usd", "0"),
        ("run", "security-audit", "--tier", "cheap"),
        ("do", "x", "--mcp", "no-such-file.json"),
        ("do", "x", "--folder", "no-such-folder"),
        ("do", "x", "--folder", ".", "--allow", "python *"),
    ],
)
def test_a_mistake_in_the_words_ends_with_2_before_anything_is_asked(
    typed: Typed, upstream: ThreadedServer, words: tuple[str, ...]
) -> None:
    code, out, error = typed(*words, "--model", "openai/gpt-4.1")
    assert (code, out) == (2, "")
    assert len(error.splitlines()) == 1
    assert upstream.ledger.as_list() == []


def test_a_task_is_done_with_a_servers_and_a_folders_tools(
    typed: Typed, upstream: ThreadedServer, project: Path
) -> None:
    calls = [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "read_file", "arguments": {"path": "README"}}]
    upstream.set_scenario("gpt-4.1", {"sequence": [{"tool_calls": calls}, {"text": "It rains, says the file."}]})
    entry = {"command": sys.executable, "args": [str(SCRIPT)]}
    (project / "mcp.json").write_text(json.dumps({"mcpServers": {"sky": entry}}))
    words = ("do", "Look", "--mcp", "mcp.json:sky", "--folder", ".", "--trust", "--audit", ".composite-audit.jsonl")
    code, out, error = typed(*words, "--model", "openai/gpt-4.1")
    assert (code, out) == (0, "It rains, says the file.\n")
    assert error == "sky: ok\nsky: weather\n"
    tools = {json.loads(line)["tool"] for line in (project / ".composite-audit.jsonl").read_text().splitlines()}
    assert tools == {"weather", "read_file"}


def test_without_a_terminal_nobody_approves(typed: Typed, upstream: ThreadedServer, project: Path) -> None:
    call = {"name": "write_file", "arguments": {"path": "README", "content": "x"}}
    upstream.set_scenario("gpt-4.1", {"sequence": [{"tool_calls": [call]}, {"text": "I could not."}]})
    assert typed("do", "Write", "--folder", ".", "--model", "openai/gpt-4.1")[1] == "I could not.\n"
    assert (project / "README").read_text() == "read me\n"
