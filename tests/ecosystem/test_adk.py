from __future__ import annotations

from typing import Any

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.events import Event
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
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


def agent_at(upstream: Upstream, **more: Any) -> LlmAgent:
    model = LiteLlm(MODEL, api_base=upstream.base_url, api_key=KEY, proposers=PROPOSERS)
    return LlmAgent(name="geographer", model=model, **more)


async def events_of(runner: InMemoryRunner, question: str, *, stream: bool = False) -> list[Event]:
    config = RunConfig(streaming_mode=StreamingMode.SSE) if stream else None
    events: list[Event] = await runner.run_debug(question, run_config=config, quiet=True)
    return events


def text_of(event: Event) -> str:
    parts = event.content.parts if event.content else []
    return "".join(part.text for part in parts or [] if part.text and not part.thought)


def tokens_in(events: list[Event]) -> tuple[int, int]:
    usages = [event.usage_metadata for event in events if event.usage_metadata and not event.partial]
    return sum(usage.prompt_token_count for usage in usages), sum(usage.candidates_token_count for usage in usages)


async def test_an_agent_uses_a_tool_twice_in_one_deliberation_per_user_turn(upstream, population, looked_up):
    upstream.play_task()
    async with InMemoryRunner(agent=agent_at(upstream, tools=[population])) as runner:
        events = await events_of(runner, QUESTION)
        assert text_of(events[-1]) == ANSWER
        assert looked_up == ["Oslo", "Bergen"]
        assert upstream.asked == (1, 3)
        assert tokens_in(events) == upstream.tokens
        upstream.check_only_the_final_model_got("tools")
        events = await events_of(runner, SECOND_QUESTION)
    assert text_of(events[-1]) == SECOND_ANSWER
    assert upstream.asked == (2, 4)
    upstream.check_no_reasoning_was_sent()


async def test_a_streamed_agent_uses_a_tool_twice_in_one_deliberation(upstream, population, looked_up):
    upstream.play_task()
    async with InMemoryRunner(agent=agent_at(upstream, tools=[population])) as runner:
        events = await events_of(runner, QUESTION, stream=True)
    assert text_of(events[-1]) == ANSWER
    assert len([event for event in events if event.partial and text_of(event)]) > 1
    assert [part for event in events for part in (event.content.parts if event.content else []) if part.thought]
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    assert tokens_in(events) == upstream.tokens


async def test_a_schema_and_tools_together(upstream, population, looked_up):
    upstream.play_task(finish=as_json(CITY))
    async with InMemoryRunner(agent=agent_at(upstream, tools=[population], output_schema=City)) as runner:
        events = await events_of(runner, QUESTION)
    assert City.model_validate_json(text_of(events[-1])) == City(**CITY)
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    upstream.check_only_the_final_model_got("tools", "response_format")


async def test_the_name_alone_is_a_model_too(upstream, monkeypatch):
    monkeypatch.setenv("OPENAI_API_BASE", upstream.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    upstream.play({"text": ANSWER})
    async with InMemoryRunner(agent=LlmAgent(name="geographer", model=MODEL)) as runner:
        events = await events_of(runner, QUESTION)
    assert text_of(events[-1]) == ANSWER
    # No place for options: three samples of the final model's own, then the answer.
    assert upstream.asked == (0, 4)


def test_the_example_runs_as_it_is(upstream):
    upstream.play_task()
    assert DIFFERENCE in upstream.run_example("adk_agent")
    assert upstream.asked == (1, 3)
