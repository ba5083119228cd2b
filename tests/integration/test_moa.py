"""Mixture of agents: which calls leave, what they carry, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FINAL, FIRST, MESSAGES, MOA, QUESTION, SECOND, THIRD, Ask, at

SYSTEM = {"role": "system", "content": "You are terse."}


@pytest.fixture(autouse=True)
def _texts(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "MINI SAYS {n}"})
    server.set_scenario("gpt-4.1-mini", {"text": "OTHER SAYS {n}"})
    server.set_scenario("gpt-4o", {"text": "The answer."})


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_each_layer_asks_every_proposer_once_and_the_aggregator_is_asked_once(
    layers: int, ask_both: Ask, server: ThreadedServer
) -> None:
    answer = ask_both(proposers=[FIRST, SECOND], layers=layers)
    asked = wire.models(server)
    assert len(asked) == 2 * layers + 1
    for layer in range(layers):
        assert sorted(map(str, asked[2 * layer : 2 * layer + 2])) == ["gpt-4.1-mini", "gpt-4o-mini"]
    assert asked[-1] == "gpt-4o"
    stages = [call.stage for call in composite_llm.get_trace(answer).calls]
    expected = [["propose", "propose-2", "propose-3"][layer] for layer in range(layers) for _ in range(2)]
    assert stages == [*expected, "aggregate"]
    assert answer.choices[0].message.content == "The answer."


def test_the_first_layer_sees_the_callers_messages_and_nothing_else(ask: Ask, server: ThreadedServer) -> None:
    ask(messages=[SYSTEM, *MESSAGES], proposers=[FIRST])
    assert wire.body(server, "gpt-4o-mini") == {"model": "gpt-4o-mini", "messages": [SYSTEM, *MESSAGES]}


@pytest.mark.parametrize("layers", [2, 3])
def test_later_layers_and_the_aggregator_see_the_layer_before_and_no_older_one(
    layers: int, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o-mini", {"sequence": [{"text": f"layer {n}"} for n in range(1, 4)]})
    ask(proposers=[FIRST], layers=layers)
    seen = [record.body["messages"] for record in server.ledger.records]
    assert len(seen[0]) == 1
    for layer, messages in enumerate(seen[1:], start=1):
        assert messages[0] == MESSAGES[0]
        assert f"layer {layer}" in messages[1]["content"]
        assert f"layer {layer - 1}" not in messages[1]["content"]


def test_references_follow_the_last_user_message_in_configuration_order_within_a_random_mark(
    ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "MINI SAYS 1", "latency_s": 0.15})
    marks = set()
    for _ in range(2):
        server.ledger.clear()
        ask(proposers=[FIRST, SECOND])
        question, note = wire.body(server, "gpt-4o")["messages"]
        assert question == MESSAGES[0]
        assert note["role"] == "user"
        assert note["content"].index("MINI SAYS 1") < note["content"].index("OTHER SAYS 1")
        mark = note["content"].split("carry the code ")[1][:8]
        assert note["content"].count(mark) == 5
        marks.add(mark)
    assert len(marks) == 2


@pytest.mark.parametrize("with_system", [True, False], ids=["caller's system message", "no system message"])
def test_system_placement_is_togethers_published_block(with_system: bool, ask: Ask, server: ThreadedServer) -> None:
    messages = [SYSTEM, *MESSAGES] if with_system else MESSAGES
    ask(messages=messages, proposers=[FIRST, SECOND], reference_placement="system")
    system, *rest = wire.body(server, "gpt-4o")["messages"]
    assert rest == MESSAGES
    assert system["role"] == "system"
    block = system["content"]
    if with_system:
        assert block.startswith("You are terse.\n\n")
        block = block.removeprefix("You are terse.\n\n")
    instruction, _, references = block.partition("\n\nResponses from models:")
    assert instruction
    assert "\n" not in instruction
    assert references == "\n1. MINI SAYS 1\n2. OTHER SAYS 1"


def test_system_placement_holds_for_later_layers_too(ask: Ask, server: ThreadedServer) -> None:
    ask(proposers=[FIRST], layers=2, reference_placement="system")
    second = wire.records(server, "gpt-4o-mini")[1].body["messages"]
    assert [message["role"] for message in second] == ["system", "user"]
    assert second[0]["content"].endswith("Responses from models:\n1. MINI SAYS 1")


@pytest.mark.parametrize(("options", "samples"), [({}, 3), ({"samples": 5}, 5)], ids=["default", "five"])
def test_without_proposers_the_aggregators_own_model_is_sampled(
    options: dict[str, Any], samples: int, ask_both: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"texts": [f"sample {n}" for n in range(1, samples + 2)]})
    answer = ask_both(temperature=0.9, **options)
    assert wire.models(server) == ["gpt-4o"] * (samples + 1)
    note = server.ledger.records[-1].body["messages"][-1]["content"]
    assert all(f"sample {n}" in note for n in range(1, samples + 1))
    trace = composite_llm.get_trace(answer)
    assert trace.self_moa
    assert [call.name for call in trace.calls][:samples] == [f"{FINAL} #{n}" for n in range(1, samples + 1)]
    assert f"Self-MoA: {samples} samples of {FINAL}" in answer.choices[0].message.reasoning_content


def test_samples_of_one_model_differ_in_their_seed_when_the_request_has_one(ask: Ask, server: ThreadedServer) -> None:
    ask(seed=40)
    seeds = sorted(record.body["seed"] for record in server.ledger.records[:3])
    assert seeds == [40, 41, 42]
    assert server.ledger.records[-1].body["seed"] == 40


def test_a_proposer_may_be_named_twice(ask: Ask, server: ThreadedServer) -> None:
    answer = ask(proposers=[FIRST, FIRST])
    assert wire.models(server) == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]
    assert [call.name for call in composite_llm.get_trace(answer).calls][:2] == [f"{FIRST} #1", f"{FIRST} #2"]


def test_a_persona_follows_the_callers_own_system_message_in_it(ask: Ask, server: ThreadedServer) -> None:
    ask(
        messages=[SYSTEM, *MESSAGES],
        proposers=[{"model": FIRST, "system": "Doubt everything."}, {"model": SECOND, "system": "persona:skeptic"}],
        aggregator={"system": "Write verse."},
    )
    first, second, final = (
        wire.body(server, name)["messages"][0] for name in ("gpt-4o-mini", "gpt-4.1-mini", "gpt-4o")
    )
    assert first == {"role": "system", "content": f"{SYSTEM['content']}\n\nDoubt everything."}
    assert second["content"].startswith(f"{SYSTEM['content']}\n\nAnswer as a careful skeptic.")
    assert final == {"role": "system", "content": f"{SYSTEM['content']}\n\nWrite verse."}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"error": {"status": 400, "message": "POISON"}}, id="error"),
        pytest.param({"blank": True}, id="blank"),
        pytest.param({"text": "POISON", "finish_reason": "content_filter"}, id="filtered"),
        pytest.param({"refusal": "POISON"}, id="refusal"),
        pytest.param({"tool_calls": [{"name": "POISON"}]}, id="tool call only"),
        pytest.param({"error": {"status": 401, "message": "POISON"}}, id="key refused"),
    ],
)
def test_a_member_without_a_usable_answer_is_left_out_and_its_error_enters_no_prompt(
    bad: dict[str, Any], ask_both: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o-mini", bad)
    answer = ask_both(proposers=[{"model": FIRST, "num_retries": 0}, SECOND, THIRD])
    prompt = str(wire.body(server, "gpt-4o")["messages"])
    assert "OTHER SAYS 1" in prompt
    assert "POISON" not in prompt
    assert prompt.count("<<<Response") == 2
    trace = composite_llm.get_trace(answer)
    assert [call.status for call in trace.calls] == ["failed", "ok", "ok", "ok"]
    assert len(trace.degraded) == 1
    assert trace.degraded[0].startswith(f"member_missing: propose: {FIRST} (")
    # An attempt keeps what its provider said; nothing else does.
    told = {"content": True, "attempts": {"__all__": {"provider_message"}}}
    assert "POISON" not in trace.model_dump_json(exclude={"calls": {"__all__": told}})
    assert "Degraded" in answer.choices[0].message.reasoning_content


def test_answers_are_shown_in_configuration_order_whoever_is_first(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "SLOW", "latency_s": 0.2})
    server.set_scenario("gpt-4.1-mini", {"text": "QUICK"})
    ask(proposers=[FIRST, SECOND])
    prompt = wire.body(server, "gpt-4o")["messages"][-1]["content"]
    assert prompt.index("SLOW") < prompt.index("QUICK")


@pytest.mark.parametrize("placement", ["trailing", "system"])
def test_braces_and_percent_signs_in_answers_arrive_as_they_are(
    placement: str, ask: Ask, server: ThreadedServer
) -> None:
    text = "100% {brace} {} %s $x \\1 \u00e9\U0001f600"
    server.set_scenario("gpt-4o-mini", {"text": text})
    ask(proposers=[FIRST], reference_placement=placement)
    assert text in str(wire.body(server, "gpt-4o")["messages"][-1 if placement == "trailing" else 0]["content"])


def test_the_answer_is_the_final_calls_own_and_the_model_is_the_callers_string(
    ask_both: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"text": "Out of tokens", "finish_reason": "length"})
    answer = ask_both(proposers=[FIRST])
    assert (answer.model, answer.object) == (MOA, "chat.completion")
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == "Out of tokens"
    assert answer.choices[0].message.role == "assistant"
    assert answer.id.startswith("chatcmpl-")


def test_nested_composites_answer_as_nodes(ask_both: Ask, server: ThreadedServer) -> None:
    inner = at(server, f"composite/moa/{SECOND}", proposers=[THIRD], name="inner")
    answer = ask_both(proposers=[inner, FIRST])
    assert sorted(map(str, wire.models(server))) == ["gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-mini"]
    trace = composite_llm.get_trace(answer)
    (outer,) = [call for call in trace.calls if call.name == "inner"]
    below = list(trace.children(outer.id))
    assert [(call.stage, call.model) for call in below] == [("propose", THIRD), ("aggregate", SECOND)]
    assert "OTHER SAYS 1" in wire.body(server, "gpt-4o")["messages"][-1]["content"]
    assert QUESTION in wire.body(server, "gpt-4.1-nano")["messages"][0]["content"]
