"""Long conversations from many sources: what reaches the providers of them."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, QUESTION, SECOND, Ask

SYSTEM = {"role": "system", "content": "You are terse."}
DEVELOPER = {"role": "developer", "content": "Answer in German."}
USER = {"role": "user", "content": QUESTION}
ANSWER = {"role": "assistant", "content": "The Arkadiko bridge."}
FURTHER = {"role": "user", "content": "And the longest?"}


def final(server: ThreadedServer) -> list[dict[str, Any]]:
    """The final model's messages without the one that holds the other models' answers."""
    messages = wire.records(server, "gpt-4o")[-1].body["messages"]
    return [message for message in messages if not str(message.get("content")).startswith("[Note from the system")]


def member(server: ThreadedServer) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = wire.record(server, "gpt-4o-mini").body["messages"]
    return messages


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([SYSTEM, USER], id="system"),
        pytest.param([SYSTEM, USER, ANSWER, FURTHER], id="turns"),
        pytest.param([SYSTEM, *[USER, ANSWER] * 100, FURTHER], id="200 turns"),
        pytest.param([{**USER, "name": "ann"}, {**FURTHER, "name": "bob"}], id="names"),
    ],
)
def test_a_conversation_reaches_members_and_final_model_as_it_is(
    messages: list[dict[str, Any]], ask_both: Ask, server: ThreadedServer
) -> None:
    before = copy.deepcopy(messages)
    ask_both(messages=messages, proposers=[FIRST])
    assert messages == before
    assert final(server) == messages
    assert member(server) == messages


def test_a_developer_prompt_is_kept(ask: Ask, server: ThreadedServer) -> None:
    ask(messages=[SYSTEM, DEVELOPER, USER], proposers=[{"model": FIRST, "system": "Be kind."}])
    both = f"{SYSTEM['content']}\n\n{DEVELOPER['content']}"
    assert final(server) == [{"role": "system", "content": both}, USER]
    assert member(server) == [{"role": "system", "content": f"{both}\n\nBe kind."}, USER]


def test_what_an_earlier_composite_left_in_its_answer_reaches_no_provider(ask: Ask, server: ThreadedServer) -> None:
    first = ask(messages=[USER], proposers=[FIRST]).choices[0].message
    assert first.reasoning_content
    left = {
        **first.model_dump(),
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
        "provider_specific_fields": {"composite": {"degraded": ["x"]}},
        "annotations": [],
    }
    server.ledger.clear()
    ask(messages=[USER, left, FURTHER], proposers=[FIRST])
    expected = [USER, {"role": "assistant", "content": first.content}, FURTHER]
    assert final(server) == expected
    assert member(server) == expected


def test_messages_as_litellm_returns_them_can_be_sent_back(ask: Ask, server: ThreadedServer) -> None:
    first = ask(messages=[USER], proposers=[FIRST]).choices[0].message
    server.ledger.clear()
    ask(messages=[USER, first, FURTHER], proposers=[FIRST])
    assert member(server)[1] == {"role": "assistant", "content": first.content}


@pytest.mark.parametrize(
    "empty",
    [
        pytest.param({"role": "assistant"}, id="nothing at all"),
        pytest.param({"role": "assistant", "content": None}, id="None"),
        pytest.param({"role": "assistant", "content": ""}, id="blank"),
        pytest.param({"role": "assistant", "content": []}, id="empty list"),
        pytest.param({"role": "assistant", "content": None, "tool_calls": []}, id="no tool calls"),
        pytest.param({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}, id="only thoughts"),
    ],
)
def test_an_empty_assistant_turn_is_blank_text_which_every_provider_takes(
    empty: dict[str, Any], ask: Ask, server: ThreadedServer
) -> None:
    ask(messages=[USER, empty, FURTHER], proposers=[FIRST])
    for seen in (final(server), member(server)):
        assert [message["role"] for message in seen] == ["user", "assistant", "user"]
        assert seen[1] == {"role": "assistant", "content": ""}


def test_a_tool_history_of_another_provider_is_sent_without_its_own_fields(ask: Ask, server: ThreadedServer) -> None:
    call = {"id": "toolu_01", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    foreign = {**call, "index": 0, "caller": {"type": "direct"}, "provider_specific_fields": {"thought_signature": "x"}}
    history = [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [foreign], "thinking_blocks": [{"type": "thinking"}]},
        {"role": "tool", "tool_call_id": "toolu_01", "name": "look", "content": "found", "status": "success"},
        ANSWER,
        FURTHER,
    ]
    ask(messages=history, proposers=[FIRST])
    _, turn, result, *_ = final(server)
    assert turn["tool_calls"] == [call]
    assert set(turn) <= {"role", "content", "tool_calls"}
    assert result == {"role": "tool", "tool_call_id": "toolu_01", "name": "look", "content": "found"}
    assert [message["role"] for message in member(server)] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]


def test_a_history_that_ends_with_the_assistant_is_continued_by_the_final_model_and_advised_on_by_members(
    ask: Ask, server: ThreadedServer
) -> None:
    messages = [USER, {"role": "assistant", "content": "The oldest bridge is"}]
    ask(messages=messages, proposers=[FIRST])
    assert final(server) == messages
    assert member(server)[:2] == messages
    assert member(server)[2]["role"] == "user"


def test_for_models_with_strict_turns_neighbours_are_joined(ask: Ask, server: ThreadedServer) -> None:
    strict = {"model": FIRST, "ensure_alternating_roles": True, "system": "Be kind."}
    messages = [SYSTEM, USER, FURTHER, ANSWER, USER]
    ask(messages=messages, proposers=[strict, SECOND], aggregator={"ensure_alternating_roles": True})
    seen = member(server)
    assert [message["role"] for message in seen] == ["system", "user", "assistant", "user"]
    assert seen[0]["content"] == "You are terse.\n\nBe kind."
    assert seen[1]["content"] == f"{QUESTION}\n\n{FURTHER['content']}"
    assert wire.body(server, "gpt-4.1-mini")["messages"] == messages
    last = wire.body(server, "gpt-4o")["messages"]
    assert [message["role"] for message in last] == ["system", "user", "assistant", "user"]
    assert last[-1]["content"].startswith(f"{QUESTION}\n\n[Note from the system")


def test_neighbouring_assistant_turns_alternate_too(ask: Ask, server: ThreadedServer) -> None:
    strict = {"model": FIRST, "ensure_alternating_roles": True}
    ask(messages=[USER, ANSWER, ANSWER, FURTHER], proposers=[strict])
    roles = [message["role"] for message in member(server)]
    assert roles[0] == "user"
    assert all(left != right for left, right in pairwise(roles))


def test_a_second_turn_keeps_the_prefix_of_the_first(ask: Ask, server: ThreadedServer) -> None:
    """Members see the conversation as it is, so their prompt caches hold from turn to turn."""
    ask(COUNCIL, messages=[SYSTEM, USER], members=[FIRST, SECOND])
    first = wire.records(server, "gpt-4o-mini")[0].body["messages"]
    server.ledger.clear()
    answer = ask(COUNCIL, messages=[SYSTEM, USER, ANSWER, FURTHER], members=[FIRST, SECOND])
    assert wire.records(server, "gpt-4o-mini")[0].body["messages"][: len(first)] == first
    assert composite_llm.get_trace(answer).degraded == []
