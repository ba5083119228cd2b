"""The answer as a member wrote it: the winner's, or what most of them say."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support.asking import COUNCIL, FINAL, FIRST, MESSAGES, MOA, SECOND, THIRD, Ask

NODES = [FIRST, SECOND, THIRD]
NAMES = ("gpt-4o-mini", "gpt-4.1-mini", "gpt-4.1-nano")


def answers(server: ThreadedServer, *texts: str) -> None:
    for name, text in zip(NAMES, texts, strict=True):
        server.set_scenario(name, {"text": text, "by_content": [
            {"contains": "You are reviewing", "then": {"text": '{"reviews": {}, "ranking": ["A", "B", "C"]}'}},
        ]})  # fmt: skip


def asked(server: ThreadedServer) -> list[str]:
    return [record.body["model"] for record in server.ledger.records]


@pytest.mark.parametrize(("model", "option", "calls"), [(MOA, "proposers", 3), (COUNCIL, "members", 6)])
@pytest.mark.parametrize("stream", [False, True])
def test_most_members_answer_is_the_answer_without_a_final_call(
    ask: Ask, server: ThreadedServer, model: str, option: str, calls: int, stream: bool
) -> None:
    answers(server, "41", "42", "**42**")
    reply = ask(model, aggregation="vote", stream=stream, **{option: NODES})
    if stream:
        content = "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)
    else:
        content = reply.choices[0].message.content
    trace = composite_llm.get_trace(reply)
    assert content in ("42", "**42**")
    assert len(asked(server)) == len(trace.calls) == calls
    assert "gpt-4o" not in asked(server)
    assert trace.aggregation is not None
    assert trace.aggregation.groups[0].names == [SECOND, THIRD]
    assert [call.name for call in trace.calls if call.final] == [trace.aggregation.name]


def test_the_tokens_of_the_answer_are_no_reasoning(ask: Ask, server: ThreadedServer) -> None:
    answers(server, "41", "42", "42")
    reply = ask(proposers=NODES, aggregation="vote")
    trace = composite_llm.get_trace(reply)
    others = sum(call.usage.completion_tokens for call in trace.calls if not call.final)
    assert reply.usage.completion_tokens_details.reasoning_tokens == others
    assert reply.usage.completion_tokens == trace.usage.completion_tokens > others


def test_pick_gives_the_winner_as_it_is(ask: Ask, server: ThreadedServer) -> None:
    answers(server, "First answer.", "Second answer.", "Third answer.")
    reply = ask(COUNCIL, members=NODES, aggregation="pick")
    trace = composite_llm.get_trace(reply)
    assert trace.ranking is not None
    winner = trace.ranking.order[0]
    assert reply.choices[0].message.content == next(
        call.content for call in trace.calls if call.name == winner and call.stage == "answer"
    )
    assert trace.aggregation is not None
    assert (trace.aggregation.rule, trace.aggregation.name, trace.degraded) == ("pick", winner, [])
    assert f"The answer is {winner}'s" in reply.choices[0].message.reasoning_content
    assert trace.to_html().count('class="card final"') == 1


def test_where_nobody_agrees_the_first_is_taken_and_it_is_said(ask: Ask, server: ThreadedServer) -> None:
    answers(server, "1", "2", "3")
    reply = ask(proposers=NODES, aggregation="vote")
    assert reply.choices[0].message.content == "1"
    assert composite_llm.get_trace(reply).degraded == ["no_majority: no two answers say the same"]


def test_json_answers_are_asked_for_in_the_form_and_compared_by_value(ask: Ask, server: ThreadedServer) -> None:
    answers(server, '{"a": 1}', "no JSON", '```json\n{"a":1.0}\n```')
    reply = ask(proposers=NODES, aggregation="vote", response_format={"type": "json_object"}, max_tokens=50)
    assert json.loads(reply.choices[0].message.content) == {"a": 1}
    trace = composite_llm.get_trace(reply)
    assert trace.aggregation is not None
    assert [group.names for group in trace.aggregation.groups] == [[FIRST, THIRD]]
    for record in server.ledger.records:
        assert record.body["response_format"] == {"type": "json_object"}
        assert record.body["max_tokens"] == 50


def test_a_member_that_is_missing_has_no_vote(ask: Ask, server: ThreadedServer) -> None:
    answers(server, "1", "2", "2")
    server.set_scenario(NAMES[0], {"error": {"status": 400}})
    trace = composite_llm.get_trace(ask(proposers=NODES, aggregation="vote"))
    assert trace.degraded_codes == ["member_missing"]
    assert trace.aggregation is not None
    assert [group.share for group in trace.aggregation.groups] == [1]


def test_a_cap_under_which_no_member_fits_asks_the_final_model(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "Alone."})
    reply = ask(proposers=NODES, aggregation="vote", quorum=2, max_calls=1)
    assert (reply.choices[0].message.content, asked(server)) == ("Alone.", ["gpt-4o"])
    assert composite_llm.get_trace(reply).aggregation is None


@pytest.mark.parametrize(
    "options",
    [{"tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}]}, {"n": 2}],
    ids=["tools", "n"],
)
def test_what_only_a_final_model_can_answer_is_refused(ask: Ask, server: ThreadedServer, options: Any) -> None:
    with pytest.raises(litellm.BadRequestError, match="aggregation: got 'vote' in a request with"):
        ask(proposers=NODES, aggregation="vote", **options)
    assert asked(server) == []


def test_a_mixture_has_no_winner_to_pick(ask: Ask) -> None:
    with pytest.raises(litellm.BadRequestError, match="aggregation"):
        ask(proposers=NODES, aggregation="pick")


@pytest.mark.parametrize(
    ("model", "options", "calls", "rounds"),
    [(MOA, {"proposers": NODES, "layers": 2}, 6, 2), (COUNCIL, {"members": NODES}, 6, 2)],
)
def test_explain_counts_no_final_call(model: str, options: dict[str, Any], calls: int, rounds: int) -> None:
    explained = composite_llm.explain(model, MESSAGES, aggregation="vote", **options)
    assert (explained.calls, explained.rounds) == (calls, rounds)
    assert FINAL not in {node.model for stage in explained.stages for node in stage.nodes}


def test_after_a_gate_the_members_answer_follows_what_was_said(ask: Ask, server: ThreadedServer) -> None:
    answers(server, "1", "2", "2")
    private = {"name": "deliberate", "arguments": {"reason": "r"}}
    server.set_scenario("gpt-4o", {"text": "Hm.", "tool_calls": [private]})
    options: dict[str, Any] = {"proposers": NODES, "aggregation": "vote", "deliberate": "auto"}
    assert ask(**options).choices[0].message.content == "Hm.\n\n2"
    stream = ask(stream=True, **options)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hm.\n\n2"
