"""In an environment of its own: CrewAI pins mcp<2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from instructor.core import InstructorRetryException
from pydantic import BaseModel

from tests.ecosystem.task import (
    ANSWER,
    CITY,
    DIFFERENCE,
    KEY,
    MODEL,
    PROPOSERS,
    QUESTION,
    Upstream,
    as_json,
    call_of,
)


class City(BaseModel):
    name: str
    population: int


def model_at(upstream: Upstream, **more: Any) -> LLM:
    chosen = {"proposers": PROPOSERS, "_skip_mcp_handler": True, **more}
    return LLM(model=MODEL, base_url=upstream.base_url, api_key=KEY, **chosen)


def crew_of(llm: LLM, population: Callable[[str], int] | None = None, **more: Any) -> Crew:
    tools = [tool("population")(population)] if population else []
    agent = Agent(role="Geographer", goal="Answer with numbers.", backstory="Precise.", llm=llm, tools=tools)
    task = Task(description=QUESTION, expected_output="A number.", agent=agent, **more)
    return Crew(agents=[agent], tasks=[task])


@pytest.mark.parametrize("stream", [False, True])
def test_a_crew_uses_a_tool_twice_in_one_deliberation(upstream, population, looked_up, stream):
    upstream.play_task()
    result = crew_of(model_at(upstream, stream=stream), population).kickoff()
    assert result.raw == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    usage = result.token_usage
    assert (usage.prompt_tokens, usage.completion_tokens) == upstream.tokens
    upstream.check_only_the_final_model_got("tools")


async def test_an_async_crew_runs_in_a_thread(upstream, population, looked_up):
    upstream.play_task()
    assert (await crew_of(model_at(upstream), population).kickoff_async()).raw == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)


def test_a_copied_crew_keeps_its_options(upstream, population, looked_up):
    upstream.play_task()
    assert crew_of(model_at(upstream), population).copy().kickoff().raw == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)


def test_a_response_format_and_tools_together(upstream, population, looked_up):
    upstream.play_task(finish=as_json(CITY))
    result = crew_of(model_at(upstream, response_format=City), population).kickoff()
    assert City.model_validate_json(result.raw) == City(**CITY)
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    upstream.check_only_the_final_model_got("tools", "response_format")


@pytest.mark.xfail(
    raises=InstructorRetryException,
    reason="CrewAI asks through Instructor, with nothing but model and messages, and so trips over mcp<2",
)
@pytest.mark.parametrize("model", ["openai/gpt-4.1", MODEL])
def test_a_tasks_model_class(upstream, model, monkeypatch):
    monkeypatch.setenv("OPENAI_API_BASE", upstream.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    upstream.play(call_of("City", **CITY))
    assert crew_of(LLM(model=model, is_litellm=True), output_pydantic=City).kickoff().pydantic == City(**CITY)


def test_a_response_format_goes_to_the_final_model_alone(upstream):
    upstream.play(as_json(CITY))
    answer = model_at(upstream, response_format=City).call("Tell me about Oslo.")
    assert City.model_validate_json(answer) == City(**CITY)
    assert upstream.asked == (1, 1)
    upstream.check_only_the_final_model_got("response_format")


def test_the_example_runs_as_it_is(upstream):
    upstream.play_task()
    assert DIFFERENCE in upstream.run_example("crewai_crew")
    assert upstream.asked == (1, 3)
