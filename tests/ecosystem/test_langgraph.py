from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_litellm import ChatLiteLLM
from langgraph.checkpoint.memory import InMemorySaver
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
    call_of,
)

ASK = {"messages": [{"role": "user", "content": QUESTION}]}


class City(BaseModel):
    """A city."""

    name: str
    population: int


def model_at(upstream: Upstream, **more: Any) -> ChatLiteLLM:
    chosen = {"model_kwargs": {"proposers": PROPOSERS}, **more}
    return ChatLiteLLM(model=MODEL, api_base=upstream.base_url, api_key=KEY, **chosen)


def tokens_in(messages: Iterable[Any]) -> tuple[int, int]:
    usages = [message.usage_metadata for message in messages if isinstance(message, AIMessage)]
    return sum(usage["input_tokens"] for usage in usages), sum(usage["output_tokens"] for usage in usages)


def test_an_agent_uses_a_tool_twice_in_one_deliberation(upstream, population, looked_up):
    upstream.play_task()
    messages = create_agent(model_at(upstream), [population]).invoke(ASK)["messages"]
    assert messages[-1].content == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    assert tokens_in(messages) == upstream.tokens
    upstream.check_only_the_final_model_got("tools")


async def test_an_async_agent_does_the_same(upstream, population, looked_up):
    upstream.play_task()
    messages = (await create_agent(model_at(upstream), [population]).ainvoke(ASK))["messages"]
    assert messages[-1].content == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    assert tokens_in(messages) == upstream.tokens


def test_the_next_user_turn_deliberates_again_and_reasoning_is_not_sent_back(upstream, population):
    upstream.play_task()
    agent = create_agent(model_at(upstream), [population], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    agent.invoke(ASK, thread)
    messages = agent.invoke({"messages": [{"role": "user", "content": SECOND_QUESTION}]}, thread)["messages"]
    assert messages[-1].content == SECOND_ANSWER
    assert upstream.asked == (2, 4)
    upstream.check_no_reasoning_was_sent()


def test_an_agent_streams_the_answer_from_a_worker_thread(upstream, population, looked_up):
    upstream.play_task()
    agent = create_agent(model_at(upstream, streaming=True), [population])
    pieces, messages = [], []
    for mode, item in agent.stream(ASK, stream_mode=["messages", "values"]):
        if mode == "values":
            messages = item["messages"]
        elif item[0].type == "AIMessageChunk":
            pieces.append(item[0])
    assert "".join(piece.text for piece in pieces) == ANSWER
    assert len([piece for piece in pieces if piece.text]) > 1
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)
    assert tokens_in(messages) == upstream.tokens


async def test_an_agent_streams_asynchronously(upstream, population, looked_up):
    upstream.play_task()
    agent = create_agent(model_at(upstream, streaming=True), [population])
    text = ""
    async for piece, _ in agent.astream(ASK, stream_mode="messages"):
        text += piece.text if piece.type == "AIMessageChunk" else ""
    assert text == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (1, 3)


def test_a_streamed_message_reports_the_whole_runs_tokens(upstream):
    upstream.play({"text": ANSWER})
    whole = None
    for piece in model_at(upstream).stream(QUESTION):
        whole = piece if whole is None else whole + piece
    assert whole is not None
    assert whole.text == ANSWER
    assert tokens_in([whole]) == upstream.tokens


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
def test_structured_output_in_all_its_forms(upstream, method):
    upstream.play(call_of("City", **CITY) if method == "function_calling" else as_json(CITY))
    found = model_at(upstream).with_structured_output(City, method=method).invoke("Tell me about Oslo, as JSON.")
    assert found == City(**CITY)
    assert upstream.asked == (1, 1)
    upstream.check_only_the_final_model_got("tools" if method == "function_calling" else "response_format")


def test_bound_options_arrive(upstream):
    upstream.play({"text": ANSWER})
    assert model_at(upstream, model_kwargs={}).bind(proposers=PROPOSERS).invoke(QUESTION).content == ANSWER
    assert upstream.asked == (1, 1)


def test_the_example_runs_as_it_is(upstream):
    upstream.play_task()
    assert DIFFERENCE in upstream.run_example("langgraph_agent")
    assert upstream.asked == (1, 3)
