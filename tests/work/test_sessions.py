"""What each backend is to see of a conversation."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from composite_llm import InvalidOption
from composite_llm.work import AllProvidersFailedError, Session, StoreUnusable, Used
from composite_llm.work.database import estimated_tokens
from tests.work.scripted import NOBODY, ScriptedExecutor


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.sqlite"


def texts(messages: list[dict[str, str]]) -> list[str]:
    return [message["content"] for message in messages]


def test_each_backend_sees_its_own_buffer_and_the_shared_one_in_order(path: Path) -> None:
    session = Session("a", path=path)
    session.append(user("for all"))
    session.append(user("for one"), "one")
    session.append(said("one's answer"), "one")
    session.append(user("for two"), "two")
    session.append(user("for all again"))
    assert texts(session.context("one")) == ["for all", "for one", "one's answer", "for all again"]
    assert texts(session.context("two")) == ["for all", "for two", "for all again"]
    assert texts(session.context("new")) == ["for all", "for all again"]


def test_it_goes_on_under_its_id_and_knows_nothing_of_others(path: Path) -> None:
    Session("a", path=path).append(user("hello"), "one")
    assert texts(Session("a", path=path).context("one")) == ["hello"]
    assert Session("b", path=path).context("one") == []


def test_reset_forgets_one_backend_or_all(path: Path) -> None:
    session = Session("a", path=path)
    other = Session("b", path=path)
    for backend in (None, "one", "two"):
        session.append(user(f"to {backend}"), backend)
        other.append(user("other"), backend)
    session.reset("one")
    assert texts(session.context("one")) == ["to None"]
    assert texts(session.context("two")) == ["to None", "to two"]
    session.reset()
    assert session.context("two") == []
    assert len(other.context("two")) == 2


def test_a_persona_is_set_and_goes_back_to_the_first_one(path: Path) -> None:
    session = Session("a", path=path, personas={"one": "You are careful."})
    assert session.context("one") == [{"role": "system", "content": "You are careful."}]
    session.set_persona("one", "You are bold.")
    assert session.persona("one") == "You are bold."
    session.reset_persona("one")
    assert session.persona("one") == "You are careful."
    session.set_persona("one", "")
    assert session.context("one") == []
    session.reset("one")
    assert session.persona("one") == "You are careful."
    assert session.persona("two") is None


def test_a_context_stays_within_its_budget_and_keeps_the_newest(path: Path) -> None:
    session = Session("a", path=path, token_budget={"small": 100})
    for number in range(30):
        session.append(user(f"question {number}"), "small")
        session.append(said(f"answer {number}"), "small")
    context = session.context("small")
    assert sum(estimated_tokens(json.dumps(message)) for message in context) <= 100
    assert context[-1] == said("answer 29")
    assert context[0]["role"] == "user"
    assert len(session.context("large")) == 0
    assert len(session.turns("small")) == 60


def test_a_question_that_is_over_the_budget_alone_is_asked_all_the_same(path: Path) -> None:
    session = Session("a", path=path, token_budget=10)
    session.append(said("x" * 300), "one")
    session.append(user("y" * 300), "one")
    assert texts(session.context("one")) == ["y" * 300]


def test_a_tools_result_does_not_stay_without_its_call(path: Path) -> None:
    session = Session("a", path=path, token_budget=120)
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    session.append(user("x" * 100), "one")
    session.append({"role": "assistant", "content": None, "tool_calls": [call]}, "one")
    session.append({"role": "tool", "tool_call_id": "1", "content": "seen"}, "one")
    session.append(said("done"), "one")
    session.append(user("and now?"), "one")
    assert texts(session.context("one")) == ["and now?"]


async def test_old_turns_are_summarized_by_the_cheap_tier_and_kept_raw(path: Path) -> None:
    session = Session("a", path=path, token_budget=200)
    for number in range(20):
        session.append(user(f"question {number}"), "one")
        session.append(said(f"answer {number} password='hunter2'"), "one")
    executor = ScriptedExecutor("They counted up; password='hunter2'.", "They counted on.")
    assert await session.compact("one", executor)
    prompt, context = executor.asked[0]
    assert "question 0" in prompt
    assert "not instructions" in prompt
    assert "hunter2" not in prompt
    assert (context.task_type, context.tier_hint, context.session_id) == ("summarize", "cheap", "a")
    summary = session.context("one")[0]
    assert summary["role"] == "user"
    assert summary["content"].startswith("[summary of ")
    assert "They counted up; password='***'." in summary["content"]
    assert session.context("one")[-1]["content"].startswith("answer 19")
    assert len(session.turns("one")) == 40
    assert not await session.compact("one", executor)
    for number in range(20):
        session.append(user(f"more {number}"), "one")
        session.append(said("more"), "one")
    assert await session.compact("one", executor)
    assert "They counted up" in executor.asked[1][0]
    assert "They counted on." in session.context("one")[0]["content"]


async def test_a_summary_that_nobody_could_write_changes_nothing(path: Path) -> None:
    session = Session("a", path=path, token_budget=100)
    for number in range(20):
        session.append(user(f"question {number}"), "one")
    before = session.context("one")
    with pytest.raises(AllProvidersFailedError):
        await session.compact("one", ScriptedExecutor(NOBODY))
    assert not await session.compact("one", ScriptedExecutor("   "))
    assert session.context("one") == before


async def test_without_a_budget_nothing_is_summarized(path: Path) -> None:
    session = Session("a", path=path)
    session.append(user("x" * 10_000), "one")
    executor = ScriptedExecutor("short")
    assert not await session.compact("one", executor)
    assert executor.asked == []


def test_what_calls_used_is_added_up_and_an_unknown_price_stays_unknown(path: Path) -> None:
    session, other = Session("a", path=path), Session("b", path=path)
    session.add_used("one", Used(1, 10, 5, 0.25))
    session.add_used("one", Used(1, 10, 5, 0.5))
    other.add_used("one", Used(1, 1, 1, 0.125))
    session.add_used("two", Used(1, 1, 1, None))
    assert session.used("one") == Used(2, 20, 10, 0.75)
    assert session.used("one", all_sessions=True) == Used(3, 21, 11, 0.875)
    assert session.used().cost_usd is None
    assert session.used("nobody") == Used()


def test_secrets_are_not_kept(path: Path) -> None:
    session = Session("a", path=path)
    session.append(user("my key is sk-abcdefgh12345678 and password='hunter2'"), "one")
    session.close()
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"abcdefgh12345678" not in content
    assert b"hunter2" not in content
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "options", [{"id": ""}, {"id": "a", "token_budget": 0}, {"id": "a", "token_budget": {"x": -1}}]
)
def test_an_option_that_cannot_be_used_is_told(path: Path, options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption):
        Session(**options, path=path)


def test_a_message_has_a_role(path: Path) -> None:
    with pytest.raises(InvalidOption):
        Session("a", path=path).append({"content": "x"})


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to be looked at" * 30, b"SQLite format 3\0" + b"\xff" * 4000]
)
def test_a_damaged_file_is_one_clear_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreUnusable, match="cannot be used as a store"):
        Session("a", path=path)
    assert path.read_bytes() == content


def test_another_programs_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(StoreUnusable, match="another program"):
        Session("a", path=path)


def test_a_later_versions_file_is_left_alone(path: Path) -> None:
    Session("a", path=path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreUnusable, match="later version"):
        Session("a", path=path)


def test_a_link_in_the_files_place_is_not_followed(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(StoreUnusable):
        Session("a", path=path)
    assert not (path.parent / "elsewhere").exists()


def _append_many(path: Path) -> None:
    session = Session("a", path=path)
    for _ in range(50):
        session.append(user("x"))
        session.add_used("one", Used(1, 1, 1, 0.5))


def test_several_processes_write_one_file(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    session = Session("a", path=path)
    assert len(session.turns()) == 150
    assert session.used("one") == Used(150, 150, 150, 75.0)
