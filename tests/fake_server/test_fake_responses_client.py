"""OpenAI's official client speaks with the server's Responses, plain and streamed."""

from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

import fake_server

TOOL: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
BOTH = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])


async def _response(client: AsyncOpenAI, streamed: bool, **options: Any) -> Any:
    asked: Any = {"model": "m", "input": "What is the weather in Oslo?", **options}
    if not streamed:
        return await client.responses.create(**asked)
    async with client.responses.stream(**asked) as stream:
        events = [event async for event in stream]
        final: Any = events[-1]
    return final.response


@BOTH
async def test_text_usage_and_the_reason_of_its_end(
    server: fake_server.RunningServer, client: AsyncOpenAI, streamed: bool
) -> None:
    counts = {"prompt_tokens": 100, "completion_tokens": 20, "cached_tokens": 60}
    server.set_scenario("m", {"text": "Four degrees, as so often.", "usage": counts})
    response = await _response(client, streamed, instructions="Be brief.")
    assert (response.output_text, response.status) == ("Four degrees, as so often.", "completed")
    usage = response.usage
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens) == (100, 60, 20)
    server.set_scenario("m", {"text": "x" * 100})
    cut = await _response(client, streamed, max_output_tokens=5)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    server.set_scenario("m", {"refusal": "I will not."})
    assert (await _response(client, streamed)).output[0].content[0].refusal == "I will not."


@BOTH
async def test_a_turn_with_reasoning_and_a_tool(
    server: fake_server.RunningServer, client: AsyncOpenAI, streamed: bool
) -> None:
    call = {"name": "weather", "arguments": {"city": "Oslo"}, "id": "c1"}
    thoughts = {"reasoning": "Let me see.", "thinking_signature": "sealed"}
    says = [{**thoughts, "tool_calls": [call]}, {"text": "Four degrees."}]
    server.set_scenario("m", {"says": says, "rules": ["deepseek_reasoning"]})
    first = await _response(client, streamed, tools=[TOOL])
    reasoning, made = (item.model_dump(exclude_none=True) for item in first.output)
    assert (reasoning["summary"][0]["text"], reasoning["encrypted_content"]) == ("Let me see.", "sealed")
    assert (made["call_id"], made["arguments"]) == ("c1", '{"city":"Oslo"}')
    question = {"role": "user", "content": [{"type": "input_text", "text": "What is the weather in Oslo?"}]}
    result = {"type": "function_call_output", "call_id": "c1", "output": "4"}
    second = await _response(client, streamed, input=[question, reasoning, made, result], tools=[TOOL])
    assert second.output_text == "Four degrees."
    with pytest.raises(openai.BadRequestError, match="reasoning_content"):
        await _response(client, streamed, input=[question, made, result], tools=[TOOL])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "'input'"),
        ([{"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}], "No tool output found"),
        ([{"type": "function_call_output", "call_id": "c1", "output": "4"}], "No tool call found"),
    ],
)
async def test_what_the_api_refuses(client: AsyncOpenAI, given: Any, said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        await client.responses.create(model="m", input=given)


async def test_an_error_in_the_midst_of_a_stream(server: fake_server.RunningServer, client: AsyncOpenAI) -> None:
    server.set_scenario("m", {"error": {"status": 500, "message": "Broken."}, "error_after_chunks": 4})
    events: Any = [event async for event in await client.responses.create(model="m", input="Hi.", stream=True)]
    assert [event.sequence_number for event in events[:-1]] == [0, 1, 2, 3]
    assert (events[-1].type, events[-1].message) == ("error", "Broken.")
