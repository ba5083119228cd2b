from __future__ import annotations

from typing import Any

import pytest
from agents import Agent, ModelSettings, Runner, function_tool
from agents.extensions.models.litellm_model import LitellmModel
from openai.types.shared import Reasoning
from pydantic import BaseModel

from tests.ecosystem.task import (
    ANSWER,
    CITY,
    DIFFERENCE,
    KEY,
    MODEL,
    PROPOSERS,
    QUESTION,
    SECOND_ANSWER,
    SECOND_QUESTION,
    Upstream,
    as_json,
)


class City(BaseModel):
    name: str
    population: int


def agent_at(upstream: Upstream, *, settings: dict[str, Any] | None = None, **more: Any) -> Agent[None]:
    chosen = {"extra_args": {"proposers": PROPOSERS}, "include_usage": True, **(settings or {})}
    model = LitellmModel(MODEL, base_url=upstream.base_url, api_key=KEY)
    return Agent(name="Geographer", model=model, model_settings=ModelSettings(**chosen), **more)


async def test_an_agent_uses_a_tool_twice_in_one_deliberation(upstream, population, looked_up):
    upstream.play_task()
    result = await Runner.run(agent_at(upstream, tools=[function_tool(population)]), QUESTION)
    assert result.final_output == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    usage = result.context_wrapper.usage
    assert usage.requests == 3
    assert (usage.input_tokens, usage.output_tokens) == upstream.tokens
    upstream.check_only_the_final_model_got("tools")


async def test_the_next_user_turn_deliberates_again(upstream, population):
    upstream.play_task()
    agent = agent_at(upstream, tools=[function_tool(population)])
    first = await Runner.run(agent, QUESTION)
    second = await Runner.run(agent, [*first.to_input_list(), {"role": "user", "content": SECOND_QUESTION}])
    assert second.final_output == SECOND_ANSWER
    assert upstream.asked == (2, 4)


async def test_a_streamed_agent_uses_a_tool_twice_in_one_deliberation(upstream, population, looked_up):
    upstream.play_task()
    result = Runner.run_streamed(agent_at(upstream, tools=[function_tool(population)]), QUESTION)
    kinds, text = set(), ""
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            kinds.add(event.data.type)
            text += event.data.delta if event.data.type == "response.output_text.delta" else ""
    assert text == result.final_output == ANSWER
    assert "response.reasoning_summary_text.delta" in kinds
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    usage = result.context_wrapper.usage
    assert (usage.input_tokens, usage.output_tokens) == upstream.tokens


async def test_an_output_type_is_a_schema_for_the_final_model_alone(upstream):
    upstream.play(as_json(CITY))
    result = await Runner.run(agent_at(upstream, output_type=City), "Tell me about Oslo.")
    assert result.final_output == City(**CITY)
    assert upstream.asked == (1, 1)
    upstream.check_only_the_final_model_got("response_format")


@pytest.mark.parametrize("place", ["extra_args", "extra_body"])
async def test_options_arrive_from_either_place(upstream, place):
    upstream.play({"text": ANSWER})
    agent = agent_at(upstream, settings={"extra_args": None, place: {"proposers": PROPOSERS}})
    assert (await Runner.run(agent, QUESTION)).final_output == ANSWER
    assert upstream.asked == (1, 1)
    upstream.check_only_the_final_model_got()


async def test_reasoning_effort_does_not_break_the_call(upstream):
    upstream.play({"text": ANSWER})
    agent = agent_at(upstream, settings={"reasoning": Reasoning(effort="low")})
    assert (await Runner.run(agent, QUESTION)).final_output == ANSWER
    assert upstream.asked == (1, 1)


def test_the_example_runs_as_it_is(upstream):
    upstream.play_task()
    assert DIFFERENCE in upstream.run_example("openai_agents")
    assert upstream.asked == (1, 3)
