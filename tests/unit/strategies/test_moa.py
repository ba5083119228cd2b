from __future__ import annotations

import copy
from typing import Any

import pytest

from composite_llm.backend.interface import AttemptRequest
from composite_llm.strategies.prompts import references_block
from tests.support.benches import QUESTION, bench
from tests.support.scripted_backend import Say, failing

MODEL = "composite/moa/chief"


def text_in(request: AttemptRequest) -> str:
    return "\n".join(str(message.get("content")) for message in request.messages)


async def test_proposers_see_the_callers_messages_and_the_aggregator_their_answers_in_order() -> None:
    b = bench(MODEL, {"a": Say("alpha", after=2), "b": Say("beta", after=1), "chief": "done"}, proposers=["a", "b"])
    assert await b.text() == "done"
    assert b.backend.prompts("a") == b.backend.prompts("b") == [QUESTION]
    (prompt,) = b.backend.prompts("chief")
    assert prompt[0] == QUESTION[0]
    assert [message["role"] for message in prompt] == ["user", "user"]
    assert prompt[1]["content"].index("alpha") < prompt[1]["content"].index("beta")
    assert [call.stage for call in b.trace.calls] == ["propose", "propose", "aggregate"]
    assert b.trace.degraded == []


async def test_each_layer_sees_the_layer_before_it_and_no_other() -> None:
    script = {
        "a": [Say("alpha-1"), Say("alpha-2"), Say("alpha-3")],
        "b": [Say("beta-1"), Say("beta-2"), Say("beta-3")],
        "chief": "done",
    }
    b = bench(MODEL, script, proposers=["a", "b"], layers=3)
    await b.text()
    assert [call.stage for call in b.trace.calls] == ["propose"] * 2 + ["propose-2"] * 2 + ["propose-3"] * 2 + [
        "aggregate"
    ]
    for model in ("a", "b"):
        first, second, third = (text_in(request) for request in b.backend.asked(model))
        assert "alpha" not in first
        assert "alpha-1" in second
        assert "beta-1" in second
        assert "alpha-2" in third
        assert "beta-2" in third
        assert "-1" not in third
    (last,) = b.backend.asked("chief")
    assert "alpha-3" in text_in(last)
    assert not any(old in text_in(last) for old in ("alpha-1", "alpha-2", "beta-1", "beta-2"))


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(
            [SYSTEM, *QUESTION],
            [{"role": "system", "content": "Be brief.\n\n" + references_block(["alpha", "beta"])}, *QUESTION],
            id="appended-to-the-callers-system-message",
        ),
        pytest.param(
            QUESTION, [{"role": "system", "content": references_block(["alpha", "beta"])}, *QUESTION], id="put-first"
        ),
    ],
)
async def test_system_placement_is_togethers_published_form(messages: Any, expected: Any) -> None:
    script = {"a": "alpha", "b": "beta", "chief": "done"}
    b = bench(MODEL, script, messages, proposers=["a", "b"], reference_placement="system")
    await b.text()
    assert b.backend.prompts("chief") == [expected]
    assert b.backend.prompts("a") == [messages]
    assert expected[0]["content"].endswith("\n\nResponses from models:\n1. alpha\n2. beta")


async def test_system_placement_holds_for_the_layers_too() -> None:
    script = {"a": [Say("alpha-1"), Say("alpha-2")], "chief": "done"}
    b = bench(MODEL, script, proposers=["a"], layers=2, reference_placement="system")
    await b.text()
    assert b.backend.prompts("a")[1] == [{"role": "system", "content": references_block(["alpha-1"])}, *QUESTION]


@pytest.mark.parametrize("placement", ["trailing", "system"])
async def test_a_failed_member_is_in_no_prompt(placement: str) -> None:
    script = {
        "good": "alpha",
        "bad": failing("rejected", "secret upstream text"),
        "blank": Say("  "),
        "filtered": Say("withheld words", finish_reason="content_filter"),
        "chief": "done",
    }
    b = bench(MODEL, script, proposers=["good", "bad", "blank", "filtered"], layers=2, reference_placement=placement)
    assert await b.text() == "done"
    for request in b.backend.requests:
        assert "secret upstream text" not in text_in(request)
        assert "withheld words" not in text_in(request)
        assert "Response 2" not in text_in(request)
    assert len([reason for reason in b.trace.degraded if "bad" in reason]) >= 1


async def test_without_proposers_the_aggregators_model_is_sampled_without_its_persona() -> None:
    b = bench(MODEL, {"chief": "x"}, samples=4, aggregator={"system": "You are the chief.", "name": "boss"})
    await b.text()
    *samples, final = b.backend.requests
    assert len(samples) == 4
    assert all(request.messages == QUESTION for request in samples)
    assert final.messages[0] == {"role": "system", "content": "You are the chief."}
    assert [call.name for call in b.trace.calls] == ["chief #1", "chief #2", "chief #3", "chief #4", "boss"]
    assert b.trace.self_moa
    assert b.run.notes == ("Self-MoA: 4 samples of chief",)


@pytest.mark.parametrize(
    ("seed", "seeds"), [(7, [7, 8, 9]), (None, [None, None, None]), (0, [0, 1, 2])], ids=["seed", "none", "zero"]
)
async def test_samples_do_not_collapse_into_one(seed: int | None, seeds: list[int | None]) -> None:
    b = bench(MODEL, {"chief": "x"}, seed=seed)
    await b.text()
    *samples, final = b.backend.requests
    assert [request.params.get("seed") for request in samples] == seeds
    assert final.params.get("seed") == seed
    assert [request.unique for request in samples] == [False, True, True]
    assert final.unique is False


async def test_equal_proposers_are_kept_apart_and_different_ones_share_the_seed() -> None:
    b = bench(MODEL, {"a": "x", "b": "y", "chief": "z"}, proposers=["a", "b", "a"], seed=7)
    await b.text()
    first, other, second, _ = b.backend.requests
    assert [request.params["seed"] for request in (first, other, second)] == [7, 7, 8]
    assert [request.unique for request in (first, other, second)] == [False, False, True]


async def test_proposers_that_differ_by_name_only_are_kept_apart_too() -> None:
    proposers = [{"model": "a", "name": "one"}, {"model": "a", "name": "two"}]
    b = bench(MODEL, {"a": "x", "chief": "z"}, proposers=proposers, seed=7)
    await b.text()
    first, second, _ = b.backend.requests
    assert (first.unique, second.unique) == (False, True)
    assert first.params["seed"] != second.params["seed"]


async def test_each_call_gets_the_parameters_that_are_its_own() -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    b = bench(
        MODEL,
        {"a": "x", "chief": "z"},
        proposers=[{"model": "a", "temperature": 0.9}],
        aggregator={"temperature": 0.1},
        temperature=0.5,
        top_p=0.8,
        user="u",
        tools=tools,
        max_tokens=50,
        stop=["END"],
        n=2,
        top_k=4,
        extra_body={"provider": "x"},
    )
    await b.text()
    proposer, final = b.backend.requests
    assert proposer.params == {"temperature": 0.9, "top_p": 0.8, "user": "u"}
    assert final.params == {
        "temperature": 0.1,
        "top_p": 0.8,
        "user": "u",
        "tools": tools,
        "max_tokens": 50,
        "stop": ["END"],
        "n": 2,
        "top_k": 4,
        "extra_body": {"provider": "x"},
    }
    assert (proposer.final, final.final) == (False, True)


async def test_the_requests_key_reaches_only_nodes_of_the_final_models_provider() -> None:
    script = {"openai/a": "x", "other/b": "y", "openai/chief": "z"}
    b = bench("composite/moa/openai/chief", script, proposers=["openai/a", "other/b"], api_key="k")
    await b.text()
    assert {request.model: request.params.get("api_key") for request in b.backend.requests} == {
        "openai/a": "k",
        "other/b": None,
        "openai/chief": "k",
    }


async def test_proposers_see_tool_history_as_text_and_the_aggregator_as_it_is() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    history = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Rayleigh"},
    ]
    before = copy.deepcopy(history)
    b = bench(MODEL, {"a": "alpha", "chief": "done"}, history, proposers=["a"])
    await b.text()
    (advisor,) = b.backend.prompts("a")
    assert advisor[-1]["role"] == "user"
    assert "Rayleigh" in advisor[-1]["content"]
    (final,) = b.backend.prompts("chief")
    assert [message["role"] for message in final] == ["user", "user", "assistant", "tool"]
    assert "alpha" in final[1]["content"]
    assert [final[0], *final[2:]] == history == before


async def test_candidates_are_fenced_by_a_mark_that_is_new_for_each_run() -> None:
    marks = set()
    for _ in range(3):
        b = bench(MODEL, {"a": "alpha", "chief": "done"}, proposers=["a"])
        await b.text()
        note = b.backend.prompts("chief")[0][-1]["content"]
        marks.add(note.split("<<<Response 1 ")[1].split(">>>")[0])
    assert len(marks) == 3
