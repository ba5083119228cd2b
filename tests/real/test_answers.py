"""Composites of a real model: what comes out, and that every token is the server's own count."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest

import composite_llm
from tests.real.conftest import Ask, Real

FRUIT = {
    "type": "object",
    "properties": {"fruit": {"type": "string", "maxLength": 20}},
    "required": ["fruit"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
plain_and_streamed = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])


def _whole(answer: Any, *, streamed: bool) -> Any:
    return litellm.stream_chunk_builder(list(answer)) if streamed else answer


@plain_and_streamed
@pytest.mark.parametrize("strategy", ["moa", "self-moa", "council"])
def test_usage_is_what_the_server_counted(strategy: str, streamed: bool, ask: Ask, llama_cpp: Real) -> None:
    before = llama_cpp.told()
    answer = ask(strategy, stream=streamed)
    response = _whole(answer, streamed=streamed)
    after = llama_cpp.told()
    used = (response.usage.prompt_tokens, response.usage.completion_tokens)
    assert used == (after[0] - before[0], after[1] - before[1])
    assert response.choices[0].message.content.strip()
    trace = composite_llm.get_trace(answer)
    assert sum(call.usage.total_tokens for call in trace.calls) == response.usage.total_tokens


def test_two_layers(ask: Ask, real: Real) -> None:
    trace = composite_llm.get_trace(ask(layers=2))
    assert [call.status for call in trace.calls] == ["ok"] * 5


def test_a_council_is_answered_whatever_its_reviewer_makes_of_the_ballot(ask: Ask, real: Real) -> None:
    answer = ask("council")
    trace = composite_llm.get_trace(answer)
    assert answer.choices[0].message.content.strip()
    assert [call.status for call in trace.calls if call.role == "reviewer"] == ["ok"]


def test_a_stream_comes_piece_by_piece(ask: Ask, real: Real) -> None:
    chunks = [chunk.choices[0].delta for chunk in ask(stream=True) if chunk.choices]
    assert sum(bool(delta.content) for delta in chunks) > 3
    assert any(getattr(delta, "reasoning_content", None) for delta in chunks)


@plain_and_streamed
def test_a_schema_is_kept(streamed: bool, ask: Ask, real: Real) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "fruit", "strict": True, "schema": FRUIT}}
    response = _whole(ask(response_format=wanted, max_tokens=60, stream=streamed), streamed=streamed)
    assert set(json.loads(response.choices[0].message.content)) == {"fruit"}


def _fits(call: Any) -> bool:
    return call.function.name == "weather" and "city" in json.loads(call.function.arguments)


@plain_and_streamed
def test_tools_are_taken_and_calls_of_them_passed_on(streamed: bool, ask: Ask, real: Real) -> None:
    question = [{"role": "user", "content": "What is the weather in Oslo?"}]
    answer = ask(messages=question, tools=[TOOL], max_tokens=60, stream=streamed, _skip_mcp_handler=True)
    message = _whole(answer, streamed=streamed).choices[0].message
    # The smallest models answer in words whatever they are told.
    assert message.content or all(_fits(call) for call in message.tool_calls)


def test_a_run_with_an_executor_ends_with_an_answer(ask: Ask, real: Real) -> None:
    asked: list[str] = []

    def weather(city: str) -> str:
        asked.append(city)
        return "4 degrees"

    answer = ask(
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        tools=[TOOL],
        tool_executor={"weather": weather},
        max_tool_rounds=1,
        max_tokens=60,
        _skip_mcp_handler=True,
    )
    assert answer.choices[0].message.content.strip()
    assert len(composite_llm.get_trace(answer).tool_calls) == len(asked)


def test_the_same_seed_gives_the_same_prompts(ask: Ask, llama_cpp: Real) -> None:
    first, second = (ask("council", seed=7, fanout="every_call").usage.prompt_tokens for _ in range(2))
    assert first == second


@pytest.mark.parametrize("provider", ["hosted_vllm", "lm_studio", "llamafile", "custom_openai"])
def test_through_other_adapters_of_litellm(provider: str, ask: Ask, real: Real) -> None:
    node = real.node(provider, num_retries=0)
    answer = ask(proposers=[node], model=f"composite/moa/{node['model']}", max_tokens=8)
    assert answer.choices[0].message.content.strip()
    assert answer.usage.completion_tokens > 0


def test_what_a_request_asks_for_reaches_the_server(ask: Ask, real: Real) -> None:
    answer = ask(logprobs=True, stop=["\n"], max_tokens=12)
    assert "\n" not in answer.choices[0].message.content
    assert answer.choices[0].logprobs.content
