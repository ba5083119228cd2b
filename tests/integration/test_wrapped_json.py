"""JSON that was asked for and comes wrapped up: unwrapped in plain answers and streams, asked for once."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MOA, SECOND, Ask, at
from tests.support.streams import streamed, streamed_sync

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["answer", "score"],
    "additionalProperties": False,
}


class Rated(BaseModel):
    answer: str
    score: int


FORMATS = pytest.mark.parametrize(
    "response_format",
    [{"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, {"type": "json_object"}, Rated],
    ids=["json_schema", "json_object", "pydantic class"],
)
AS_SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
GOOD = '{"answer": "Oslo", "score": 3}'
WRAPPED = {
    "fence": f"```json\n{GOOD}\n```",
    "sentence": f"Here is the JSON you asked for: {GOOD}",
    "fence and sentences": f"Sure!\n\n```\n{GOOD}\n```\n\nI hope this helps.",
    "sentence behind": f"{GOOD}\n\nLet me know if you need more.",
    "thoughts": f"<think>\nhm {{}}\n</think>\n\n{GOOD}",
    "thoughts and a fence": f"<think>hm</think>\n```json\n{GOOD}\n```",
}


def final_calls(server: ThreadedServer) -> int:
    return len(wire.records(server, "gpt-4o"))


@FORMATS
@pytest.mark.parametrize("text", WRAPPED.values(), ids=WRAPPED.keys())
def test_the_content_is_the_json_alone_and_the_final_model_is_asked_once(
    text: str, response_format: Any, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"text": text, "chunk_chars": [3, 1, 9]})
    plain = ask(proposers=[FIRST], response_format=response_format)
    done = streamed_sync(server, proposers=[FIRST], response_format=response_format)
    assert plain.choices[0].message.content == done.content == GOOD
    assert done.built.choices[0].message.content == GOOD
    assert composite_llm.get_trace(plain).degraded == done.trace.degraded == []
    assert final_calls(server) == 2


async def test_async_streams_and_councils_too(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": WRAPPED["fence"]})
    done = await streamed(server, COUNCIL, members=[FIRST, SECOND], response_format=AS_SCHEMA)
    assert done.content == GOOD


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_json_stays_to_the_byte_also_with_a_fence_in_a_string(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    text = '\n{"answer":  "```json\\n{}\\n``` \\"}",\n "score": 3} \n'
    server.set_scenario("gpt-4o", {"text": text, "chunk_chars": 4})
    if streams:
        assert streamed_sync(server, proposers=[FIRST], response_format=AS_SCHEMA).content == text
    else:
        assert ask(proposers=[FIRST], response_format=AS_SCHEMA).choices[0].message.content == text


def test_a_stream_of_json_comes_piece_by_piece(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": GOOD, "chunk_chars": 5})
    done = streamed_sync(server, proposers=[FIRST], response_format=AS_SCHEMA)
    contents = [chunk.choices[0].delta.content for chunk in done.chunks if chunk.choices]
    assert [content for content in contents if content] == [GOOD[at : at + 5] for at in range(0, len(GOOD), 5)]


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("bad", ['```json\n{"answer": "Oslo"}\n```', "```\nno JSON\n```", "It is Oslo."])
def test_a_wrapped_answer_that_breaks_the_schema_is_asked_for_once_more(
    bad: str, streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"sequence": [{"text": bad}, {"text": WRAPPED["fence"]}]})
    if streams:
        done = streamed_sync(server, proposers=[FIRST], response_format=AS_SCHEMA)
        content, degraded = done.content, done.trace.degraded
    else:
        answer = ask(proposers=[FIRST], response_format=AS_SCHEMA)
        content, degraded = answer.choices[0].message.content, composite_llm.get_trace(answer).degraded
    assert content == GOOD
    assert [reason.split(":")[0] for reason in degraded] == ["output_repaired"]
    assert final_calls(server) == 2


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_and_then_refused_before_any_of_it_was_passed_on(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": '```json\n{"answer": "Oslo"}\n```'})
    send = partial(streamed_sync, server) if streams else ask
    with pytest.raises(Exception, match="a required property is missing: score"):
        send(proposers=[FIRST], response_format=AS_SCHEMA)
    assert final_calls(server) == 2


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("options", [{}, {"response_format": {"type": "text"}}], ids=["no format", "text"])
def test_without_a_json_format_a_fence_is_the_answers_own(
    options: dict[str, Any], streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"text": WRAPPED["fence"]})
    if streams:
        assert streamed_sync(server, proposers=[FIRST], **options).content == WRAPPED["fence"]
    else:
        assert ask(proposers=[FIRST], **options).choices[0].message.content == WRAPPED["fence"]


def test_every_choice_is_unwrapped(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"texts": [WRAPPED["fence"], GOOD]})
    answer = ask(proposers=[FIRST], response_format=AS_SCHEMA, n=2)
    assert [choice.message.content for choice in answer.choices] == [GOOD, GOOD]
    done = streamed_sync(server, proposers=[FIRST], response_format=AS_SCHEMA, n=2)
    contents = {0: "", 1: ""}
    for chunk in done.chunks:
        for choice in chunk.choices:
            contents[choice.index] += choice.delta.content or ""
    assert contents == {0: GOOD, 1: GOOD}


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_without_the_check_it_is_unwrapped_as_well(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": WRAPPED["fence"]})
    options: dict[str, Any] = {"proposers": [FIRST], "response_format": AS_SCHEMA, "validate_output": False}
    content = streamed_sync(server, **options).content if streams else ask(**options).choices[0].message.content
    assert content == GOOD


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_an_answer_cut_off_within_its_fence_comes_as_it_is(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    cut_off = '```json\n{"answer": "Os'
    server.set_scenario("gpt-4o", {"text": cut_off, "finish_reason": "length"})
    options: dict[str, Any] = {"proposers": [FIRST], "response_format": AS_SCHEMA}
    content = streamed_sync(server, **options).content if streams else ask(**options).choices[0].message.content
    assert content == cut_off


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_after_tools_that_ran_only_the_json_is_passed_on(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    steps = [{"text": "Let me look.", "tool_calls": [{"name": "look"}]}, {"text": WRAPPED["fence and sentences"]}]
    server.set_scenario("gpt-4o", {"sequence": steps})
    options: dict[str, Any] = {"proposers": [FIRST], "response_format": AS_SCHEMA, "tools": [tool]}
    options["tool_executor"] = {"look": lambda: "found"}
    content = streamed_sync(server, **options).content if streams else ask(**options).choices[0].message.content
    assert content == GOOD


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_a_nested_composite_that_answers_unwraps_it(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": WRAPPED["fence"]})
    options: dict[str, Any] = {
        "model": f"composite/moa/{MOA}",
        "proposers": [at(server, FIRST)],
        "aggregator": {"proposers": [at(server, SECOND)]},
        "response_format": AS_SCHEMA,
    }
    content = streamed_sync(server, **options).content if streams else ask(**options).choices[0].message.content
    assert json.loads(content) == json.loads(GOOD)
