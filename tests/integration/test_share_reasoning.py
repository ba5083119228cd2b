"""What members thought, as material for those who read their answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support.asking import COUNCIL, FIRST, MOA, SECOND, Ask

THOUGHT = "Bridges of stone outlast those of wood."
REVIEWED = "A reviewer thinks to itself."
NODES: dict[str, dict[str, Any]] = {
    MOA: {"proposers": [FIRST, SECOND], "layers": 2},
    COUNCIL: {"members": [FIRST, SECOND]},
}
both = pytest.mark.parametrize("model", [MOA, COUNCIL])


@pytest.fixture(autouse=True)
def thinking(server: ThreadedServer) -> None:
    review = {"text": '{"reviews": {}, "ranking": ["A", "B"]}', "reasoning": REVIEWED}
    by_content = [{"contains": "You are reviewing", "then": review}]
    server.set_scenario("gpt-4o-mini", {"text": "The stone one.", "reasoning": THOUGHT, "by_content": by_content})
    server.set_scenario("gpt-4.1-mini", {"text": "The wooden one.", "by_content": by_content})
    server.set_scenario("gpt-4o", {"text": "Stone."})


def readers(server: ThreadedServer) -> list[str]:
    """The prompts that quote members' answers."""
    prompts = [json.dumps(record.body["messages"]) for record in server.ledger.records]
    return [prompt for prompt in prompts if "The wooden one." in prompt]


@both
def test_whoever_reads_the_answers_reads_the_thoughts_too(ask: Ask, server: ThreadedServer, model: str) -> None:
    answer = ask(model, share_reasoning=True, **NODES[model])
    quoting = readers(server)
    assert len(quoting) == 3
    for prompt in quoting:
        # Within the marks of its answer, below it.
        quoted = prompt[prompt.index("The stone one.") :]
        assert quoted.index("[How its author came to it]") < quoted.index(THOUGHT) < quoted.index("<<<end of")
        assert prompt.count("[How its author came to it]") == 1
        assert REVIEWED not in prompt
    assert composite_llm.get_trace(answer).degraded_codes in ([], ["no_ballot"])


@both
def test_without_it_thoughts_stay_where_they_are(ask: Ask, server: ThreadedServer, model: str) -> None:
    ask(model, **NODES[model])
    assert len(readers(server)) == 3
    assert not [prompt for prompt in readers(server) if THOUGHT in prompt]


def test_an_answer_that_is_taken_as_it_is_has_no_thoughts_in_it(ask: Ask) -> None:
    answer = ask(proposers=[FIRST, FIRST, SECOND], share_reasoning=True, aggregation="vote")
    assert answer.choices[0].message.content == "The stone one."
    assert composite_llm.get_trace(answer).calls[0].content == "The stone one."


def test_an_answer_that_stands_in_has_no_thoughts_in_it(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    answer = ask(proposers=[FIRST], share_reasoning=True, on_final_failure="best")
    assert answer.choices[0].message.content == "The stone one."


def test_a_tool_step_has_the_same_thoughts_in_its_prompt(ask: Ask, server: ThreadedServer) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    server.set_scenario("gpt-4o", {"tool_calls": [{"name": "look", "arguments": {}}]})
    options: dict[str, Any] = {"proposers": [FIRST], "share_reasoning": True, "tools": tools, "seed": 3}
    question = {"role": "user", "content": "Which bridge?"}
    message = ask(messages=[question], **options).choices[0].message
    first = server.ledger.records[-1].body["messages"]
    server.set_scenario("gpt-4o", {"text": "Stone."})
    step = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "x"}
    again = ask(messages=[question, message.model_dump(), step], **options)
    assert composite_llm.get_trace(again).reused
    assert server.ledger.records[-1].body["messages"][: len(first)] == first
