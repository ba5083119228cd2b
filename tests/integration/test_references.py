"""References: each proposer of a further layer sees a selection of its own of the answers of the layer before."""

from __future__ import annotations

import re
from typing import Any

import pytest

import composite_llm
from composite_llm.model.errors import OptionNotAllowed
from composite_llm.proxy.policy import check_client
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FIRST, MESSAGES, MOA, SECOND, THIRD, Ask

SAMPLES = 6
AGGREGATION = {"samples": SAMPLES, "layers": 3, "references": 2, "aggregator": {"model": FIRST}}


@pytest.fixture(autouse=True)
def _texts(server: ThreadedServer) -> None:
    for model, word in (("gpt-4o-mini", "TEXT"), ("gpt-4.1-mini", "SECOND"), ("gpt-4.1-nano", "THIRD")):
        server.set_scenario(model, {"sequence": [{"text": f"{word} {n}."} for n in range(1, 40)]})
    server.set_scenario("gpt-4o", {"text": "The answer."})


def seen(body: dict[str, Any]) -> tuple[str, ...]:
    """The answers that stand in a prompt."""
    text = "\n".join(message["content"] for message in body["messages"])
    return tuple(re.findall(r"(?:TEXT|SECOND|THIRD) \d+", text))


def selections(server: ThreadedServer) -> list[tuple[str, ...]]:
    return [seen(record.body) for record in server.ledger.records]


def said(first: int) -> set[str]:
    """What the samples of a layer said, whichever of them came first."""
    return {f"TEXT {n}" for n in range(first, first + SAMPLES)}


def test_each_proposer_sees_so_many_of_the_layer_before_and_the_aggregator_all(
    ask_both: Ask, server: ThreadedServer
) -> None:
    answer = ask_both(**AGGREGATION)
    prompts = selections(server)
    assert [len(prompt) for prompt in prompts] == [0] * SAMPLES + [2] * 2 * SAMPLES + [SAMPLES]
    second, third = prompts[SAMPLES : 2 * SAMPLES], prompts[2 * SAMPLES : 3 * SAMPLES]
    assert {text for prompt in second for text in prompt} <= said(1)
    assert {text for prompt in third for text in prompt} <= said(1 + SAMPLES)
    assert set(prompts[-1]) == said(1 + 2 * SAMPLES)
    # Fifteen pairs for six readers: no two of a layer see the same.
    assert len(set(second)) == len(set(third)) == SAMPLES
    stages = [call.stage for call in composite_llm.get_trace(answer).calls]
    assert stages == ["propose"] * SAMPLES + ["propose-2"] * SAMPLES + ["propose-3"] * SAMPLES + ["aggregate"]


def places(server: ThreadedServer) -> list[list[int]]:
    """Which of three proposers' answers each of them sees in layer 2, by proposer."""
    shown = {record.body["model"]: seen(record.body) for record in server.ledger.records[3:6]}
    names = ["TEXT", "SECOND", "THIRD"]
    return [
        [names.index(text.split()[0]) for text in shown[model]]
        for model in ("gpt-4o-mini", "gpt-4.1-mini", "gpt-4.1-nano")
    ]


def test_a_seed_decides_who_sees_what(ask: Ask, server: ThreadedServer) -> None:
    found = []
    for seed in (1, 1, *range(2, 8)):
        server.ledger.clear()
        ask(proposers=[FIRST, SECOND, THIRD], layers=2, references=1, seed=seed)
        found.append(places(server))
        # Three selections of one for three readers: each answer is read once.
        assert sorted(found[-1]) == [[0], [1], [2]]
    assert found[0] == found[1]
    assert len({str(each) for each in found}) > 1


def test_the_same_request_selects_the_same_and_a_stream_too(ask: Ask, server: ThreadedServer) -> None:
    found = []
    for stream in (False, False, True):
        server.ledger.clear()
        answer = ask(proposers=[FIRST, SECOND, THIRD], layers=2, references=2, stream=stream)
        if stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
            assert text == "The answer."
        found.append(places(server))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("references", [2, 3, 50])
def test_as_many_references_as_answers_are_all_of_them(references: int, ask: Ask, server: ThreadedServer) -> None:
    options: dict[str, Any] = {"proposers": [FIRST, SECOND], "layers": 2, "seed": 1}
    ask(**options)
    plain = [len(prompt) for prompt in selections(server)]
    server.ledger.clear()
    ask(references=references, **options)
    assert [len(prompt) for prompt in selections(server)] == plain == [0, 0, 2, 2, 2]


def test_only_answers_that_came_are_selected(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1-nano", {"error": {"status": 400, "message": "no"}})
    ask(proposers=[FIRST, SECOND, THIRD], layers=2, references=1)
    further = [seen(record.body) for record in server.ledger.records[3:6]]
    assert {len(prompt) for prompt in further} == {1}
    assert {prompt[0].split()[0] for prompt in further} == {"TEXT", "SECOND"}


def test_the_system_placement_numbers_the_selection(ask: Ask, server: ThreadedServer) -> None:
    ask(proposers=[FIRST, SECOND, THIRD], layers=2, references=2, reference_placement="system")
    for record in server.ledger.records[3:6]:
        system = record.body["messages"][0]
        assert system["role"] == "system"
        assert re.findall(r"^(\d)\. ", system["content"], re.MULTILINE) == ["1", "2"]


def test_each_reader_has_a_mark_of_its_own(ask: Ask, server: ThreadedServer) -> None:
    ask(**AGGREGATION)
    further = [record.body["messages"][-1]["content"] for record in server.ledger.records[SAMPLES : 2 * SAMPLES]]
    assert len({text.split("carry the code ")[1][:8] for text in further}) == SAMPLES


def test_what_explain_counts_is_what_is_sent(ask: Ask, server: ThreadedServer) -> None:
    plan = composite_llm.explain(MOA, MESSAGES, **AGGREGATION)
    ask(**AGGREGATION)
    assert (plan.calls, plan.rounds) == (len(wire.models(server)), 4) == (3 * SAMPLES + 1, 4)
    whole = composite_llm.explain(MOA, MESSAGES, **{**AGGREGATION, "references": SAMPLES})
    assert plan.worst_cost_usd is not None
    assert whole.worst_cost_usd is not None
    assert plan.worst_cost_usd < whole.worst_cost_usd


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", [2]], ids=str)
def test_a_value_that_is_no_number_of_answers_is_refused(value: Any, ask: Ask, server: ThreadedServer) -> None:
    with pytest.raises(Exception, match="references: got") as raised:
        ask(proposers=[FIRST], layers=2, references=value)
    assert getattr(raised.value, "status_code", None) == 400
    assert wire.models(server) == []


def test_an_operator_may_open_it_to_clients() -> None:
    with pytest.raises(OptionNotAllowed, match="references"):
        check_client([("references", 2)], {}, ())
    check_client([("references", 2)], {}, ("references",))
