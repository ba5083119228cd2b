from __future__ import annotations

from collections.abc import Callable
from typing import Any

import litellm
import pytest
from smolagents import CodeAgent, LiteLLMModel, LiteLLMRouterModel, Model, Tool, ToolCallingAgent

from tests.ecosystem.task import (
    ANSWER,
    CITY,
    DIFFERENCE,
    KEY,
    MODEL,
    PEOPLE,
    PROPOSERS,
    QUESTION,
    Upstream,
    as_json,
    call_of,
)


class Population(Tool):  # type: ignore[misc]  # untyped where mypy runs
    name = "population"
    description = "How many people live in a city."
    inputs = {"city": {"type": "string", "description": "Its name."}}  # noqa: RUF012  # smolagents asks for a plain dict
    output_type = "integer"

    def __init__(self, look_up: Callable[[str], int]) -> None:
        super().__init__()
        self._look_up = look_up

    def forward(self, city: str) -> int:
        return self._look_up(city)


def model_at(upstream: Upstream, **more: Any) -> LiteLLMModel:
    return LiteLLMModel(MODEL, api_base=upstream.base_url, api_key=KEY, proposers=PROPOSERS, **more)


def play_with_final_tool(upstream: Upstream) -> None:
    upstream.play_task(finish=call_of("final_answer", answer=ANSWER))


# A tool's result is text of the user here, so every step is a turn of its own.
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_calling_agent_deliberates_at_each_step(upstream, population, looked_up, stream):
    play_with_final_tool(upstream)
    agent = ToolCallingAgent([Population(population)], model_at(upstream), stream_outputs=stream, verbosity_level=0)
    result = agent.run(QUESTION, return_full_result=True)
    assert result.output == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (3, 3)
    assert (result.token_usage.input_tokens, result.token_usage.output_tokens) == upstream.tokens
    upstream.check_only_the_final_model_got("tools", "tool_choice", "stop")


def test_a_code_agent_calls_the_tool_from_its_code(upstream, population, looked_up):
    upstream.play(
        {"text": "Thought: look up.\n<code>\nprint(population(city='Oslo'), population(city='Bergen'))\n</code>"},
        (str(PEOPLE["Bergen"]), {"text": f"Thought: done.\n<code>\nfinal_answer('{ANSWER}')\n</code>"}),
    )
    agent = CodeAgent([Population(population)], model_at(upstream), verbosity_level=0)
    result = agent.run(QUESTION, return_full_result=True)
    assert result.output == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (2, 2)
    assert (result.token_usage.input_tokens, result.token_usage.output_tokens) == upstream.tokens


def test_a_schema_goes_to_the_final_model_alone(upstream):
    upstream.play(as_json(CITY))
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "population": {"type": "integer"}}}
    message = model_at(upstream).generate(
        [{"role": "user", "content": [{"type": "text", "text": "Tell me about Oslo."}]}],
        response_format={"type": "json_schema", "json_schema": {"name": "City", "schema": schema}},
    )
    assert message.content == as_json(CITY)["text"]
    assert upstream.asked == (1, 1)
    upstream.check_only_the_final_model_got("response_format")


def test_a_router_with_a_composite_deployment(upstream, population, looked_up):
    play_with_final_tool(upstream)
    deployment = {"model": MODEL, "api_base": upstream.base_url, "api_key": KEY, "proposers": PROPOSERS}
    # The model sends `api_base=None` and `api_key=None` with each call and so takes the deployment's away.
    model: Model = LiteLLMRouterModel(
        "wise",
        model_list=[{"model_name": "wise", "litellm_params": deployment}],
        client_kwargs={"num_retries": 0},
        api_base=upstream.base_url,
        api_key=KEY,
    )
    agent = ToolCallingAgent([Population(population)], model, verbosity_level=0)
    assert agent.run(QUESTION) == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (3, 3)


def test_the_example_runs_as_it_is(upstream):
    play_with_final_tool(upstream)
    assert DIFFERENCE in upstream.run_example("smolagents_agent")
    assert upstream.asked == (3, 3)


def test_without_its_own_retry_a_rate_limit_costs_one_deliberation(upstream):
    upstream.server.set_scenario("gpt-4.1", {"error": {"status": 429}})
    final = {"model": "openai/gpt-4.1", "num_retries": 0}
    with pytest.raises(litellm.RateLimitError):
        model_at(upstream, retry=False, aggregator=final).generate([{"role": "user", "content": QUESTION}])
    assert upstream.asked == (1, 1)
