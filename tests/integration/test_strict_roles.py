"""Providers and templates that are strict about roles: what reaches them, and what is learnt from their refusals."""

from __future__ import annotations

from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer, running_in_thread
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MOA, QUESTION, SECOND, THIRD, Ask, at

pytestmark = pytest.mark.usefixtures("no_cached_answers")

SHOP = {"role": "system", "content": "You work for a shop."}
USER = {"role": "user", "content": QUESTION}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "found"}
STEP: list[dict[str, Any]] = [{"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT]
DOUBTER = {"model": FIRST, "system": "Doubt everything."}

CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "a system prompt": [SHOP, USER],
    "two": [SHOP, {"role": "system", "content": "Today is Monday."}, USER],
    "developer and system": [{"role": "developer", "content": "Be short."}, SHOP, USER],
    "one in the middle": [
        SHOP,
        USER,
        {"role": "assistant", "content": "Yes."},
        {"role": "system", "content": "Late."},
        USER,
    ],
    "one at the end": [USER, {"role": "system", "content": "Late."}],
    "parts": [{"role": "system", "content": [{"type": "text", "text": "You work for a shop."}]}, USER],
    "a tool step": [SHOP, USER, *STEP],
}
SETUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "persona": (MOA, {"proposers": [DOUBTER]}),
    "tools": (MOA, {"proposers": [FIRST], "tools": TOOLS}),
    "persona and tools": (MOA, {"proposers": [DOUBTER], "tools": TOOLS, "aggregator": {"system": "Be kind."}}),
    "references in the system prompt": (MOA, {"proposers": [FIRST], "reference_placement": "system", "layers": 2}),
    "personas of a council": (COUNCIL, {}),
    "council with tools": (COUNCIL, {"members": [DOUBTER, SECOND], "reviewers": [THIRD], "tools": TOOLS}),
    "self-moa with a persona": (MOA, {"aggregator": {"system": "Be kind."}, "samples": 2}),
}


def spoken(conversation: list[dict[str, Any]]) -> list[str]:
    """What the caller says as the system."""
    said = [message["content"] for message in conversation if message["role"] in ("system", "developer")]
    return [text if isinstance(text, str) else text[0]["text"] for text in said]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_one_system_message_leaves_us_whatever_came_in(
    conversation: str, setup: str, stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("*", {"rules": ["system_first", "one_system_message", "no_developer"]})
    messages = CONVERSATIONS[conversation]
    model, options = SETUPS[setup]
    answer = ask(model, messages=messages, stream=stream, fanout="every_call", **options)
    if stream:
        assert list(answer)
    assert composite_llm.get_trace(answer).degraded == []
    for record in server.ledger.records:
        system = str(next((m["content"] for m in record.body["messages"] if m["role"] == "system"), ""))
        assert all(text in system for text in spoken(messages))
        if str(record.model) == "gpt-4o-mini" and "Doubt" in str(options):
            assert "Doubt everything." in system
    assert any("You are advising the assistant" in str(r.body) for r in server.ledger.records) == (
        "tools" in setup or "tool" in conversation
    )


def test_cache_marks_stay_where_they_are_when_a_persona_is_added(ask: Ask, server: ThreadedServer) -> None:
    mark = {"type": "ephemeral"}
    part = {"type": "text", "text": "You work for a shop.", "cache_control": mark}
    ask(messages=[{"role": "system", "content": [part]}, USER], proposers=[DOUBTER])
    system = wire.body(server, "gpt-4o-mini")["messages"][0]
    assert system == {"role": "system", "content": [part, {"type": "text", "text": "Doubt everything."}]}


@pytest.mark.parametrize("setup", ["persona", "persona and tools", "personas of a council"])
def test_prompts_keep_their_prefix_from_turn_to_turn(setup: str, ask: Ask, server: ThreadedServer) -> None:
    model, options = SETUPS[setup]
    turns = [SHOP, USER, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "When?"}]
    ask(model, messages=turns[:2], **options)
    first = [record.body["messages"] for record in server.ledger.records]
    server.ledger.clear()
    ask(model, messages=turns, **options)
    second = [record.body["messages"] for record in server.ledger.records]
    members = 3 if model == COUNCIL else 1
    for before in first[:members]:
        assert any(after[: len(before)] == before for after in second[:members])


STRICT_RULES: dict[str, list[str]] = {
    "gemma 3": ["alternate", "system_first"],
    "mistral": ["alternate_except_tools", "system_first"],
    "gemma 2": ["no_system", "alternate"],
    "no system alone": ["no_system"],
}
ADAPTERS = ["openai", "hosted_vllm", "lm_studio", "llamafile", "deepseek", "mistral"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("template", STRICT_RULES)
def test_what_a_refusal_asks_for_is_done_once_and_remembered(
    template: str, stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("*", {"rules": STRICT_RULES[template]})
    greeting = [SHOP, USER, {"role": "user", "content": "And the longest?"}]
    for expected in ("learning", "known"):
        server.ledger.clear()
        answer = ask(messages=greeting, proposers=[DOUBTER], stream=stream)
        if stream:
            assert list(answer)
        statuses = [record.status for record in server.ledger.records]
        trace = composite_llm.get_trace(answer)
        assert trace.degraded == []
        if expected == "learning":
            assert 400 in statuses
            steps = [attempt.next_step for call in trace.calls for attempt in call.attempts if attempt.next_step]
            assert all(step.startswith("asked again with") for step in steps)
            assert statuses.count(200) == 2
        else:
            assert statuses == [200, 200]
    for record in server.ledger.records:
        assert "You work for a shop." in str(record.body)
        assert "And the longest?" in str(record.body)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("status", [400, 500])
def test_it_is_learnt_through_every_adapter_also_where_the_template_is_a_500(
    adapter: str, status: int, ask: Ask, server: ThreadedServer
) -> None:
    refusal = {"error": {"status": status, "message": "Conversation roles must alternate user/assistant/user/..."}}
    server.set_scenario("strict", {"sequence": [refusal, {"text": "fine"}]})
    node = at(server, f"{adapter}/strict", num_retries=2)
    answer = ask(messages=[USER, USER], proposers=[node])
    first, second = wire.records(server, "strict")
    assert len(second.body["messages"]) < len(first.body["messages"])
    (call, _) = composite_llm.get_trace(answer).calls
    assert [attempt.next_step for attempt in call.attempts] == [
        "asked again with user and assistant taking turns",
        None,
    ]
    assert composite_llm.breakers() == []


def test_a_council_of_strict_models_answers(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("*", {"rules": ["alternate", "system_first"]})
    answer = ask(COUNCIL, messages=[SHOP, USER], members=[FIRST, SECOND, THIRD])
    trace = composite_llm.get_trace(answer)
    assert trace.degraded == []
    assert trace.ranking is not None


def test_a_repeat_that_is_refused_too_is_the_end_and_nothing_is_remembered(ask: Ask, server: ThreadedServer) -> None:
    refusal = {"error": {"status": 400, "message": "Conversation roles must alternate user/assistant"}}
    server.set_scenario("gpt-4o-mini", refusal)
    for _ in range(2):
        server.ledger.clear()
        with pytest.raises(composite_llm.QuorumNotMet) as caught:
            ask(messages=[USER, USER], proposers=[FIRST])
        assert caught.value.status_code == 400
        assert len(wire.records(server, "gpt-4o-mini")) == 2
        assert len(wire.records(server, "gpt-4o-mini")[0].body["messages"]) == 2


def test_other_models_and_endpoints_are_sent_what_came_in(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"rules": ["alternate"]})
    with running_in_thread() as other:
        ask(messages=[USER, USER], proposers=[FIRST, SECOND, at(other, FIRST)])
        assert len(wire.records(other, "gpt-4o-mini")[-1].body["messages"]) == 2
    assert len(wire.records(server, "gpt-4o-mini")[-1].body["messages"]) == 1
    assert len(wire.records(server, "gpt-4.1-mini")[-1].body["messages"]) == 2


def test_the_option_stays(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"rules": ["alternate"]})
    ask(messages=[USER, USER], proposers=[{"model": FIRST, "ensure_alternating_roles": True}])
    assert [record.status for record in wire.records(server, "gpt-4o-mini")] == [200]
