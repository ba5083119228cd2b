"""`composite ask`, as a process with the real LiteLLM against the fake server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from composite_llm.model.trace import Trace
from fake_server import ThreadedServer
from tests.support.commands import Terminal, run_command

FINAL, FIRST, SECOND, THIRD = "openai/gpt-4.1", "openai/gpt-4.1-mini", "openai/gpt-4.1-nano", "openai/gpt-4o-mini"
ANSWER = "# Result\n\nTake the **second** way:\n\n" + "\n".join(f"- reason {number}" for number in range(1, 60))


def asking(server: ThreadedServer, *more: str) -> list[str]:
    """The command's words; the models are the server's, and the process gets its own key for them."""
    return ["ask", "-m", FINAL, "-o", f"api_base={server.base_url}", "-o", "api_key=key-of-a-test", *more]


def model(name: str) -> str:
    return name.removeprefix("openai/")


def test_in_a_pipe_the_answer_is_on_standard_output_and_all_else_on_standard_error(
    server: ThreadedServer, tmp_path: Path
) -> None:
    server.set_scenario(model(FIRST), {"error": {"status": 400}})
    server.set_scenario(model(FINAL), {"text": ANSWER})
    arguments = asking(server, "-p", FIRST, "-p", SECOND, "--trace", "out.json", "--system", "Be brief.", "Which way?")
    done = run_command(arguments, stdin="way one\nway two\n", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ANSWER + "\n"), done.stderr

    told = done.stderr.splitlines()
    assert told[0] == f"Proposals: asking {FIRST}, {SECOND}"
    assert any(line.startswith(f"✗ {FIRST}: ") for line in told)
    assert any(line.startswith(f"✓ {SECOND}: ") for line in told)
    assert any(line.startswith("Degraded: member_missing: propose") for line in told)
    assert told[-1].startswith("3 calls · ")
    assert told[-1].endswith(" · degraded")

    trace = Trace.model_validate_json((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [call.status for call in trace.calls] == ["failed", "ok", "ok"]
    assert f"${trace.cost_usd:.6f}" in told[-1]

    (sent,) = [record for record in server.ledger.records if record.model == model(SECOND)]
    assert [message["role"] for message in sent.body["messages"]] == ["system", "user"]
    assert sent.body["messages"][1]["content"] == "standard input:\n```\nway one\nway two\n```\n\nWhich way?"


def test_as_json_there_is_one_object_and_nothing_else(server: ThreadedServer, tmp_path: Path) -> None:
    arguments = asking(server, "-s", "council", "-p", FIRST, "-p", SECOND, "--json", "--reasoning", "off")
    done = run_command(arguments, stdin="Which way?", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(done.stdout)
    assert set(answer) == {
        "content", "model", "finish_reason", "usage", "cost_usd", "degraded", "trace_id", "duration_s",
    }  # fmt: skip
    assert answer["model"] == f"composite/council/{FINAL}"
    assert (answer["finish_reason"], answer["degraded"]) == ("stop", [])
    assert answer["content"].startswith(model(FINAL))
    ledger = server.ledger.records
    assert len(ledger) == 5
    assert answer["usage"]["prompt_tokens"] == sum((record.usage or {})["prompt_tokens"] for record in ledger)
    assert answer["cost_usd"] > 0
    assert len(answer["trace_id"]) == 32


def test_when_the_models_fail_it_ends_with_one_and_one_line(server: ThreadedServer, tmp_path: Path) -> None:
    server.set_scenario("*", {"error": {"status": 401, "message": "no such key: key-of-a-test"}})
    done = run_command(asking(server, "-p", FIRST, "--trace", "out.json", "--reasoning", "off", "Why?"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("composite: stage 'propose' needs 1 usable answer, got 0")
    assert "key-of-a-test" not in done.stderr
    trace = Trace.model_validate_json((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert trace.error is not None


def test_on_a_terminal_each_member_is_a_row_and_ctrl_c_cancels_the_run(server: ThreadedServer, tmp_path: Path) -> None:
    # One answers, one fails, and one never does either, so that there is time to look.
    server.set_scenario(model(SECOND), {"hang": True})
    server.set_scenario(model(THIRD), {"error": {"status": 400}})
    members = ("-p", FIRST, "-p", SECOND, "-p", THIRD)
    with Terminal(asking(server, *members, "Which way?"), columns=90, lines=30, cwd=tmp_path) as terminal:
        expected = {FIRST: "done", SECOND: "writing", THIRD: "failed", FINAL: "waiting"}
        terminal.wait_for(lambda text: {name: _row(text, name) for name in expected} == expected)

        terminal.interrupt()
        assert terminal.end() == 130
        # The run was cancelled: every connection is closed, and nobody else was asked.
        server.wait_until(lambda ledger: ledger.open_requests == 0)
        assert model(FINAL) not in {record.model for record in server.ledger.records}
        assert not terminal.cursor_is_hidden
        assert {name: _row(terminal.text, name) for name in expected} == {**expected, SECOND: "dropped"}
        assert "3 calls · " in terminal.text
        assert "Traceback" not in terminal.text


def test_on_a_terminal_the_answer_is_streamed_as_markdown_below_the_rows(
    server: ThreadedServer, tmp_path: Path
) -> None:
    server.set_scenario(model(FINAL), {"text": ANSWER, "hang_after_chunks": 40})
    with Terminal(asking(server, "-p", FIRST, "Which way?"), columns=90, lines=30, cwd=tmp_path) as terminal:
        screen = terminal.wait_for(lambda text: "• reason 5" in text and _row(text, FINAL) == "writing")
        assert _row(screen, FIRST) == "done"
        # Markdown, not its source.
        assert "Take the second way:" in screen
        assert screen.index(FINAL) < screen.index("Take the second way:")
        assert terminal.cursor_is_hidden

        terminal.resize(50, 16)
        narrow = terminal.wait_for(lambda text: "…ai/gpt-4.1-mini" in text and "• reason 5" in text)
        assert max(len(line) for line in narrow.splitlines()) <= 50
        assert (narrow.count("Proposals"), narrow.count("• reason 5\n")) == (1, 1)

        terminal.interrupt()
        assert terminal.end() == 130
        server.wait_until(lambda ledger: ledger.open_requests == 0)
        assert not terminal.cursor_is_hidden
        # What had come by then, and what it cost, stay on the screen.
        assert "• reason 5" in terminal.text
        assert "2 calls · " in terminal.text
        assert "Traceback" not in terminal.text


def _row(text: str, name: str) -> str | None:
    """The state in the last row of that name."""
    found = [line.split() for line in text.splitlines() if f" {name} " in line]
    return found[-1][2] if found and len(found[-1]) > 2 else None


@pytest.mark.parametrize("no_colour", [True, False], ids=["NO_COLOR", "colour"])
def test_an_answer_longer_than_the_window_is_whole_in_the_end(no_colour: bool, tmp_path: Path) -> None:
    more = {"NO_COLOR": "1"} if no_colour else {}
    with Terminal(["ask", "--offline", "Which way?"], columns=60, lines=14, cwd=tmp_path, more=more) as terminal:
        assert terminal.end() == 0
        lines = terminal.text.splitlines()
        assert lines[0].startswith("Offline: the models are played")
        assert "In short: start small, keep the way back open, and let a" in lines
        (start,) = [number for number, line in enumerate(lines) if line == "Proposals"]
        assert [line.split()[2] for line in lines[start + 1 : start + 4]] == ["done"] * 3
        assert lines[-1].startswith("4 calls · ")
        assert bool(terminal.colours) is not no_colour
        assert not terminal.cursor_is_hidden
