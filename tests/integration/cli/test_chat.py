"""`composite chat`, as a process with the real LiteLLM against the fake server."""

from __future__ import annotations

import json
from pathlib import Path

from composite_llm.model.trace import Trace
from fake_server import ThreadedServer
from tests.support.commands import Terminal, run_command

FINAL, FIRST = "openai/gpt-4.1", "openai/gpt-4.1-mini"


def chatting(server: ThreadedServer) -> list[str]:
    return ["chat", "-m", FINAL, "-p", FIRST, "-o", f"api_base={server.base_url}", "-o", "api_key=key-of-a-test"]


def asked(server: ThreadedServer, model: str) -> list[list[dict[str, str]]]:
    """The messages of each request for a model."""
    name = model.removeprefix("openai/")
    return [record.body["messages"] for record in server.ledger.records if record.model == name]


CONFIG = "profiles:\n  fast: {strategy: council, model: openai/gpt-4.1, members: [openai/gpt-4.1-mini]}\n"


def test_a_conversation_in_a_pipe(server: ThreadedServer, tmp_path: Path) -> None:
    (tmp_path / "composite.yaml").write_text(CONFIG, encoding="utf-8")
    server.set_scenario("gpt-4.1", {"texts": ["first answer", "second answer", "third answer", "fourth answer"]})
    lines = [
        "/mode",
        "one?",
        "",
        "two?",
        "/save talk.json",
        "/save talk.md",
        "/trace out.json",
        "/trace",
        "/stats",
        "/reset",
        "/persona skeptic",
        "/mode council",
        "three?",
        "/profile fsat",
        "/profile fast",
        "/profile off",
        "/persona Speak like a pirate.",
        "/persona",
        "/persona nobody",
        "/mode vote",
        "/satts",
        "/save",
        "/save /nowhere/at/all.md",
        "/help",
        "four?",
        "/quit",
        "never?",
    ]
    done = run_command(chatting(server), stdin="\n".join(lines), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout

    # The second question carried the first turn with it; after /reset nothing is left of either.
    first, second, third, fourth = asked(server, FINAL)
    assert [message["role"] for message in first] == ["user", "user"]
    assert [message["content"] for message in second[:3]] == ["one?", "first answer", "two?"]
    assert third[0]["role"] == "system"
    assert third[1]["content"] == "three?"
    assert "one?" not in str(third)
    assert fourth[0]["content"] == "Speak like a pirate."
    assert [message["content"] for message in fourth[1:4]] == ["three?", "third answer", "four?"]

    assert said.startswith(f"composite/moa/{FINAL}\nfirst answer\nsecond answer\n")
    assert json.loads((tmp_path / "talk.json").read_text(encoding="utf-8")) == [
        {"role": "user", "content": "one?"},
        {"role": "assistant", "content": "first answer"},
        {"role": "user", "content": "two?"},
        {"role": "assistant", "content": "second answer"},
    ]
    assert "## Question\n\none?\n\n## Answer\n\nfirst answer\n" in (tmp_path / "talk.md").read_text(encoding="utf-8")
    assert len(Trace.model_validate_json((tmp_path / "out.json").read_text(encoding="utf-8")).calls) == 2
    assert f"✓ {FIRST}: " in said
    assert "2 questions\t4\t0\t" in said
    assert f"composite/council/{FINAL}\nthird answer" in said
    assert "composite/profile/fast" in said
    assert "Speak like a pirate." in said
    assert "/persona [NAME|words|off]" in said
    assert "fourth answer" in said

    for complaint in (
        "composite: profile 'fsat' is unknown; nearest: 'fast'",
        "composite: /persona nobody: allowed: expert,",
        "composite: /mode vote: allowed: moa, council",
        "composite: /satts is no command; did you mean /stats?",
        "composite: /save needs a file",
        "composite: /nowhere/at/all.md: No such file",
    ):
        assert complaint in done.stderr
    assert "never?" not in str(asked(server, FIRST))


def test_a_question_that_fails_is_told_forgotten_and_seen_in_the_exit_code(
    server: ThreadedServer, tmp_path: Path
) -> None:
    server.set_scenario("gpt-4.1", {"sequence": [{"error": {"status": 400}}, {"text": "an answer"}]})
    done = run_command(chatting(server), stdin="one?\ntwo?\n", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "an answer\n")
    assert "composite: stage 'aggregate': the final call failed" in done.stderr
    assert [message["content"] for message in asked(server, FINAL)[1] if message["content"] == "one?"] == []


def test_on_a_terminal_ctrl_c_breaks_off_the_answer_and_not_the_conversation(
    server: ThreadedServer, tmp_path: Path
) -> None:
    server.set_scenario(
        "gpt-4.1", {"sequence": [{"text": "word " * 50, "hang_after_chunks": 20}, {"text": "**done**"}]}
    )
    with Terminal(
        chatting(server), columns=80, lines=40, cwd=tmp_path, more={"XDG_STATE_HOME": str(tmp_path)}
    ) as terminal:
        terminal.wait_for("\n>")
        terminal.press("one?\r")
        terminal.wait_for("word word word")
        terminal.interrupt()
        terminal.wait_for("broken off; the question is not part of the conversation")
        server.wait_until(lambda ledger: ledger.open_requests == 0)

        terminal.press("/sta\t")
        terminal.wait_for("> /stats")
        terminal.press("\r")
        terminal.wait_for("1 question ")

        # A line that is given up is not sent.
        terminal.press("not this")
        terminal.wait_for("> not this")
        terminal.press("\x03")
        terminal.press("two?\r")
        terminal.wait_for(lambda text: "\ndone\n" in text and text.count(" · ") >= 6)
        terminal.press("\x04")
        assert terminal.end() == 0
        second = asked(server, FINAL)[1]
        assert [message["content"] for message in second if message["content"] in ("one?", "not this", "two?")] == [
            "two?"
        ]
        assert "Traceback" not in terminal.text

        history = tmp_path / "composite_llm" / "chat_history"
        assert "+one?" in history.read_text(encoding="utf-8")
        assert history.stat().st_mode & 0o077 == 0


def test_a_conversation_goes_on_under_its_name(server: ThreadedServer, tmp_path: Path) -> None:
    server.set_scenario("gpt-4.1", {"texts": ["first answer", "second answer", "third answer"]})
    more = {"XDG_STATE_HOME": str(tmp_path / "state")}
    words = [*chatting(server), "--session", "bridges"]
    run_command(words, stdin="one? password='hunter2hunter'\n", cwd=tmp_path, more=more)
    second = run_command(words, stdin="two?\n/reset\nthree?\n", cwd=tmp_path, more=more)
    assert "Going on with 'bridges': 2 messages." in second.stderr
    said = [[message["content"] for message in messages] for messages in asked(server, FINAL)]
    assert said[1][:3] == ["one? password='***'", "first answer", "two?"]
    assert said[2][0] == "three?"
    kept = tmp_path / "state" / "composite_llm"
    assert b"hunter2" not in b"".join(path.read_bytes() for path in kept.glob("sessions*"))
