from __future__ import annotations

from typing import Any

import pytest

from composite_llm.backend.interface import AttemptRequest, Choice, Reply
from composite_llm.engine.attempt_cost import BY_NESTED, NOTHING, Spent, spent_on_answer, spent_on_part
from composite_llm.model.usage import Usage
from tests.support.scripted_backend import COST, USAGE, ScriptedFacts

FACTS = ScriptedFacts(prices={"m": 0.5})
REQUEST = AttemptRequest("m", [{"role": "user", "content": "one two three"}])


def reply(content: str | None = "four five", told: bool = False, nested: bool = False, **message: Any) -> Reply:
    choice = Choice(0, {"role": "assistant", "content": content, **message}, "stop")
    if told:
        return Reply((choice,), USAGE, COST, nested=nested)
    return Reply((choice,), usage_reported=False, nested=nested)


def counted(prompt: int, completion: int, cost_usd: float | None) -> Spent:
    usage = Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    return Spent(usage, cost_usd, estimated=True)


def test_what_a_provider_told_is_what_an_answer_cost() -> None:
    assert spent_on_answer(FACTS, REQUEST, reply(told=True)) == Spent(USAGE, COST)


def test_an_answer_without_usage_is_counted_here_and_marked() -> None:
    assert spent_on_answer(FACTS, REQUEST, reply()) == counted(3, 2, 2.5)


def test_a_blank_answer_without_usage_has_its_prompt_counted() -> None:
    assert spent_on_answer(FACTS, REQUEST, reply(None)) == counted(3, 0, 1.5)


def test_all_that_a_model_wrote_is_counted() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "in Oslo"}}
    whole = reply("four", reasoning_content=" five six", refusal=" seven", tool_calls=[call])
    assert spent_on_answer(FACTS, REQUEST, whole) == counted(3, 7, 5.0)
    old = reply(None, function_call={"name": "weather", "arguments": "Oslo"})
    assert spent_on_answer(FACTS, REQUEST, old) == counted(3, 2, 2.5)


def test_every_choice_is_counted() -> None:
    choices = tuple(Choice(index, {"content": "four five "}, "stop") for index in range(3))
    assert spent_on_answer(FACTS, REQUEST, Reply(choices, usage_reported=False)) == counted(3, 6, 4.5)


def test_tools_are_part_of_a_prompt_that_is_counted_here() -> None:
    request = AttemptRequest("m", REQUEST.messages, {"tools": [{"type": "function"}]})
    assert spent_on_answer(FACTS, request, reply()).usage.prompt_tokens > 3


def test_the_calls_own_price_comes_before_the_models() -> None:
    request = AttemptRequest("m", REQUEST.messages, {"input_cost_per_token": 2.0, "output_cost_per_token": 2.0})
    assert spent_on_answer(FACTS, request, reply()).cost_usd == 10.0


def test_an_unknown_price_is_not_a_price_of_nothing() -> None:
    assert spent_on_answer(ScriptedFacts(), REQUEST, reply()).cost_usd is None


@pytest.mark.parametrize("told", [False, True])
def test_a_nested_composite_has_spent_nothing_itself(told: bool) -> None:
    answer = reply(told=told, nested=True)
    assert spent_on_answer(FACTS, REQUEST, answer) == BY_NESTED
    assert spent_on_part(FACTS, REQUEST, answer, accepted=True) == BY_NESTED


def test_of_a_part_what_was_told_comes_before_what_is_counted() -> None:
    assert spent_on_part(FACTS, REQUEST, reply(told=True), accepted=True) == Spent(USAGE, COST)


@pytest.mark.parametrize("accepted", [False, True])
def test_a_part_is_counted_with_its_prompt(accepted: bool) -> None:
    assert spent_on_part(FACTS, REQUEST, reply("four"), accepted=accepted) == counted(3, 1, 2.0)


def test_before_the_first_token_the_prompt_counts_once_the_provider_has_accepted_it() -> None:
    assert spent_on_part(FACTS, REQUEST, reply(None), accepted=True) == counted(3, 0, 1.5)
    assert spent_on_part(FACTS, REQUEST, reply(None), accepted=False) == NOTHING
