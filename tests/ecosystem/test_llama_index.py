from __future__ import annotations

from typing import Any

from llama_index.core.agent.workflow import AgentOutput, AgentStream, FunctionAgent, ReActAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from llama_index.llms.litellm import LiteLLM
from pydantic import BaseModel

from tests.ecosystem.task import (
    ANSWER,
    CITY,
    DIFFERENCE,
    KEY,
    MODEL,
    PEOPLE,
    PROPOSERS,
    QUESTION,
    SECOND_ANSWER,
    SECOND_QUESTION,
    Upstream,
    call_of,
)

ASK = [ChatMessage(role="user", content=QUESTION)]


class City(BaseModel):
    """A city."""

    name: str
    population: int


def model_at(upstream: Upstream) -> LiteLLM:
    return LiteLLM(
        MODEL, api_base=upstream.base_url, api_key=KEY, additional_kwargs={"proposers": PROPOSERS}, max_retries=1
    )


def tokens_in(raw: Any) -> tuple[int, int]:
    return raw["usage"]["prompt_tokens"], raw["usage"]["completion_tokens"]


async def test_a_function_agent_uses_a_tool_twice_in_one_deliberation(upstream, population, looked_up):
    upstream.play_task()
    agent = FunctionAgent(tools=[population], llm=model_at(upstream), streaming=False)
    handler = agent.run(QUESTION)
    outputs = [event async for event in handler.stream_events() if isinstance(event, AgentOutput)]
    assert str(await handler) == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    assert tuple(map(sum, zip(*(tokens_in(output.raw) for output in outputs), strict=True))) == upstream.tokens
    upstream.check_only_the_final_model_got("tools")


async def test_a_streamed_function_agent_and_its_next_turn(upstream, population, looked_up):
    upstream.play_task()
    agent = FunctionAgent(tools=[population], llm=model_at(upstream))
    context = Context(agent)
    handler = agent.run(QUESTION, ctx=context)
    text = "".join([event.delta async for event in handler.stream_events() if isinstance(event, AgentStream)])
    assert str(await handler) == text == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    assert str(await agent.run(SECOND_QUESTION, ctx=context)) == SECOND_ANSWER
    assert upstream.asked == (2, 4)


# Observations are text of the user here, so every step is a turn of its own.
async def test_a_react_agent_deliberates_at_each_step(upstream, population, looked_up):
    step = 'Thought: I need to look up.\nAction: population\nAction Input: {{"city": "{}"}}'.format
    upstream.play(
        {"text": step("Oslo")},
        (f"Observation: {PEOPLE['Oslo']}", {"text": step("Bergen")}),
        (f"Observation: {PEOPLE['Bergen']}", {"text": f"Thought: I can answer.\nAnswer: {ANSWER}"}),
    )
    agent = ReActAgent(tools=[population], llm=model_at(upstream), streaming=False)
    assert str(await agent.run(QUESTION)) == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (3, 3)


def test_predict_and_call_finds_a_model_that_calls_functions(upstream, population, looked_up):
    upstream.play_task()
    response = model_at(upstream).predict_and_call([FunctionTool.from_defaults(population)], user_msg=QUESTION)
    assert str(response) == str(PEOPLE["Oslo"])
    assert looked_up == ["Oslo"]
    assert upstream.asked == (1, 1)


def test_a_structured_model(upstream):
    upstream.play(call_of("City", **CITY))
    response = model_at(upstream).as_structured_llm(City).chat(ASK)
    assert response.raw == City(**CITY)
    assert upstream.asked == (1, 1)
    upstream.check_only_the_final_model_got("tools")


def test_plain_and_streamed_chat_report_the_whole_runs_tokens(upstream):
    upstream.play({"text": ANSWER})
    response = model_at(upstream).chat(ASK)
    assert response.message.content == ANSWER
    assert tokens_in(response.raw) == upstream.tokens
    assert [piece.message.content for piece in model_at(upstream).stream_chat(ASK)][-1] == ANSWER
    assert upstream.asked == (2, 2)


def test_the_window_is_the_composites_own(upstream):
    assert model_at(upstream).metadata.is_function_calling_model
    assert model_at(upstream).metadata.context_window > 100_000


def test_the_example_runs_as_it_is(upstream):
    upstream.play_task()
    assert DIFFERENCE in upstream.run_example("llama_index_agent")
    assert upstream.asked == (1, 3)
