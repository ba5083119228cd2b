"""Residual: the aggregator sees the answers of all layers, and a layer that repeats the one before is the last."""

from __future__ import annotations

import re
from typing import Any

import pytest

import composite_llm
from composite_llm.model.errors import OptionNotAllowed
from composite_llm.proxy.policy import check_client
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FIRST, MESSAGES, MOA, SECOND, Ask

BOTH: dict[str, Any] = {"proposers": [FIRST, SECOND], "residual": True}


def say(server: ThreadedServer, first: list[str], second: list[str]) -> None:
    """What the two proposers answer, layer by layer."""
    for model, texts in (("gpt-4o-mini", first), ("gpt-4.1-mini", second)):
        server.set_scenario(model, {"sequence": [{"text": text} for text in texts]})
    server.set_scenario("gpt-4o", {"text": "The answer."})


def shown(server: ThreadedServer) -> list[str]:
    """The answers that the aggregator reads."""
    note = wire.body(server, "gpt-4o")["messages"][-1]["content"]
    return re.findall(r"<<<Response \d+ \w+>>>\n(.*?)\n<<<end", note, re.DOTALL)


def test_the_aggregator_sees_every_layer_oldest_first_and_a_layer_the_one_before(
    ask_both: Ask, server: ThreadedServer
) -> None:
    say(server, ["a1", "a2", "a3"], ["b1", "b2", "b3"])
    answer = ask_both(layers=3, **BOTH)
    assert shown(server) == ["a1", "b1", "a2", "b2", "a3", "b3"]
    third = wire.records(server, "gpt-4o-mini")[2].body["messages"][-1]["content"]
    assert ("a2" in third, "b2" in third, "a1" in third) == (True, True, False)
    trace = composite_llm.get_trace(answer)
    assert [call.stage for call in trace.calls][::2] == ["propose", "propose-2", "propose-3", "aggregate"]
    assert (trace.notes, trace.degraded) == ([], [])
    assert "come from 3 rounds" in wire.body(server, "gpt-4o")["messages"][-1]["content"]


def test_without_it_the_aggregator_sees_the_last_layer(ask: Ask, server: ThreadedServer) -> None:
    say(server, ["a1", "a2"], ["b1", "b2"])
    ask(proposers=[FIRST, SECOND], layers=2)
    assert shown(server) == ["a2", "b2"]
    assert "rounds" not in wire.body(server, "gpt-4o")["messages"][-1]["content"]


REPEATS = {
    "same": (["Four", "Four"], ["Five", "Five"]),
    "case, spaces and a full stop": (["Four", " four. "], ["Five  it is", "five it\nis"]),
    "each the other's": (["Four", "Five"], ["Five", "Four"]),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("case", REPEATS)
def test_a_layer_that_repeats_the_one_before_is_the_last(
    case: str, stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    say(server, *REPEATS[case])
    answer = ask(layers=4, stream=stream, **BOTH)
    told = ""
    if stream:
        deltas = [chunk.choices[0].delta for chunk in answer if chunk.choices]
        told = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        assert "".join(delta.content or "" for delta in deltas) == "The answer."
    else:
        told = answer.choices[0].message.reasoning_content
        assert answer.choices[0].message.content == "The answer."
    trace = composite_llm.get_trace(answer)
    assert [call.stage for call in trace.calls] == ["propose"] * 2 + ["propose-2"] * 2 + ["aggregate"]
    assert len(wire.models(server)) == 5
    # Each answer stands in the prompt once.
    assert shown(server) == [texts[0] for texts in REPEATS[case]]
    note = "Layer 2 of 4 repeated the one before, so it was the last"
    assert (trace.notes, trace.degraded) == ([note], [])
    assert note in told
    assert note in trace.to_html()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["Four", "Four", "Six"], ["Five", "Six", "Six"]),
        (["Four", "Four", "x"], ["Five", "Four", "y"]),
        (["0.5", "0.5", "x"], ["5", "5!", "y"]),
        ([".5", "5", "x"], ["4", "4", "y"]),
    ],
    ids=["one changes", "one is won over", "a sign behind", "a point before"],
)
def test_a_layer_in_which_something_is_new_is_not_the_last(
    first: list[str], second: list[str], ask: Ask, server: ThreadedServer
) -> None:
    say(server, first, second)
    trace = composite_llm.get_trace(ask(layers=3, **BOTH))
    assert len(wire.models(server)) == 7
    assert trace.notes == []


def test_without_it_layers_that_repeat_are_all_asked(ask: Ask, server: ThreadedServer) -> None:
    say(server, ["Four"] * 3, ["Five"] * 3)
    ask(proposers=[FIRST, SECOND], layers=3)
    assert len(wire.models(server)) == 7


def test_a_layer_that_lost_a_member_does_not_repeat_the_one_before(ask: Ask, server: ThreadedServer) -> None:
    say(server, ["Four"] * 3, ["Five"] * 3)
    server.set_scenario(
        "gpt-4.1-mini", {"sequence": [{"text": "Five"}, {"error": {"status": 400, "message": "no"}}, {"text": "Five"}]}
    )
    ask(layers=3, **BOTH)
    assert len(wire.models(server)) == 7
    assert shown(server) == ["Four", "Five", "Four", "Four", "Five"]


def test_caps_under_which_nobody_is_asked_leave_the_aggregator_alone(ask: Ask, server: ThreadedServer) -> None:
    say(server, ["a1"], ["b1"])
    answer = ask(layers=3, max_calls=1, **BOTH)
    assert wire.models(server) == ["gpt-4o"]
    assert composite_llm.get_trace(answer).notes == []


def test_the_system_placement_has_every_layer_too(ask: Ask, server: ThreadedServer) -> None:
    say(server, ["a1", "a2"], ["b1", "b2"])
    ask(layers=2, reference_placement="system", **BOTH)
    block = wire.body(server, "gpt-4o")["messages"][0]["content"]
    assert block.endswith("Responses from models:\n1. a1\n2. b1\n3. a2\n4. b2")


def test_the_last_layers_answer_stands_in_for_a_failed_final_call(ask: Ask, server: ThreadedServer) -> None:
    say(server, ["a1", "a2"], ["b1", "b2"])
    server.set_scenario("gpt-4o", {"error": {"status": 400, "message": "no"}})
    assert ask(layers=2, on_final_failure="best", **BOTH).choices[0].message.content == "a2"
    say(server, ["Four", "four"], ["Five", "five"])
    server.set_scenario("gpt-4o", {"error": {"status": 400, "message": "no"}})
    assert ask(layers=3, on_final_failure="best", **BOTH).choices[0].message.content == "Four"


def test_explain_counts_all_layers(server: ThreadedServer) -> None:
    plan = composite_llm.explain(MOA, MESSAGES, layers=3, **BOTH)
    plain = composite_llm.explain(MOA, MESSAGES, layers=3, proposers=[FIRST, SECOND])
    assert (plan.calls, plan.rounds) == (plain.calls, plain.rounds) == (7, 4)
    assert plan.stages[-1].nodes[0].worst_prompt_tokens > plain.stages[-1].nodes[0].worst_prompt_tokens


@pytest.mark.parametrize("value", ["perhaps", 2, [True]], ids=str)
def test_a_value_that_is_no_switch_is_refused(value: Any, ask: Ask, server: ThreadedServer) -> None:
    with pytest.raises(Exception, match="residual: got") as raised:
        ask(proposers=[FIRST], layers=2, residual=value)
    assert getattr(raised.value, "status_code", None) == 400
    assert wire.models(server) == []


def test_an_operator_may_open_it_to_clients() -> None:
    with pytest.raises(OptionNotAllowed, match="residual"):
        check_client([("residual", True)], {}, ())
    check_client([("residual", True)], {}, ("residual",))
