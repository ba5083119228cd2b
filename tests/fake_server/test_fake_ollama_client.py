"""Ollama's official client speaks with the server, plain and streamed."""

from collections.abc import AsyncIterator
from typing import Any

import ollama
import pytest
import pytest_asyncio

import fake_server

ASKED: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": {}}}


@pytest_asyncio.fixture
async def client(server: fake_server.RunningServer) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=server.url) as running:
        yield running


async def _chat(client: ollama.AsyncClient, streamed: bool, **options: Any) -> tuple[str, str, list[Any], Any]:
    """Text, thinking, calls and the last line."""
    asked: Any = {"model": "m", "messages": ASKED, **options}
    lines = (
        [line async for line in await client.chat(**asked, stream=True)] if streamed else [await client.chat(**asked)]
    )
    text = "".join(line.message.content or "" for line in lines)
    thinking = "".join(line.message.thinking or "" for line in lines)
    return text, thinking, [call for line in lines for call in line.message.tool_calls or ()], lines[-1]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_text_thinking_tools_and_counts(
    server: fake_server.RunningServer, client: ollama.AsyncClient, streamed: bool
) -> None:
    server.set_scenario(
        "m",
        {
            "reasoning": "Perhaps five.",
            "text": "Four degrees.",
            "tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20},
        },
    )
    text, thinking, calls, last = await _chat(client, streamed, tools=[TOOL], think=True)
    assert (text, thinking) == ("Four degrees.", "Perhaps five.")
    assert [(call.function.name, call.function.arguments) for call in calls] == [("weather", {"city": "Oslo"})]
    assert (last.done, last.done_reason, last.prompt_eval_count, last.eval_count) == (True, "stop", 100, 20)
    server.set_scenario("m", {"text": "x" * 100})
    assert (await _chat(client, streamed, options={"num_predict": 5}))[3].done_reason == "length"


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_a_whole_conversation_is_read(
    server: fake_server.RunningServer, client: ollama.AsyncClient, streamed: bool
) -> None:
    server.set_scenario("m", {"rules": ["no_images"], "text": "{last_user}"})
    call = {"function": {"name": "weather", "arguments": {}}}
    messages = [
        {"role": "system", "content": "Be brief."},
        *ASKED,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "4", "tool_name": "weather"},
    ]
    assert (await _chat(client, streamed, messages=messages))[0] == "What is the weather in Oslo?"
    with pytest.raises(ollama.ResponseError, match="image_url"):
        await _chat(client, streamed, messages=[{**ASKED[0], "images": ["AAAA"]}])


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_completions_of_one_prompt(
    server: fake_server.RunningServer, client: ollama.AsyncClient, streamed: bool
) -> None:
    server.set_scenario("m", {"text": "Four degrees.", "reasoning": "Hm."})
    asked: Any = {"model": "m", "prompt": "Oslo?", "system": "Be brief."}
    lines = (
        [line async for line in await client.generate(**asked, stream=True)]
        if streamed
        else [await client.generate(**asked)]
    )
    assert "".join(line.response or "" for line in lines) == "Four degrees."
    assert "".join(line.thinking or "" for line in lines) == "Hm."


async def test_models_are_listed_and_described(server: fake_server.RunningServer, client: ollama.AsyncClient) -> None:
    server.set_scenario("m", {"show": {"context_length": 32768, "capabilities": ["completion", "vision"]}})
    server.set_scenario("gone", {"show": {"status": 404}})
    assert {model.model for model in (await client.list()).models} == {"m", "gone"}
    described = await client.show("m")
    assert described.modelinfo == {"general.architecture": "llama", "llama.context_length": 32768}
    assert described.capabilities == ["completion", "vision"]
    with pytest.raises(ollama.ResponseError, match="not found"):
        await client.show("gone")


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_errors_in_its_own_form(
    server: fake_server.RunningServer, client: ollama.AsyncClient, status: int
) -> None:
    server.set_scenario("m", {"error": {"status": status, "message": "no room"}})
    with pytest.raises(ollama.ResponseError) as caught:
        await _chat(client, streamed=False)
    assert (caught.value.status_code, caught.value.error) == (status, "no room")


async def test_an_error_in_the_midst_of_a_stream(server: fake_server.RunningServer, client: ollama.AsyncClient) -> None:
    server.set_scenario("m", {"error": {"message": "no room"}, "error_after_chunks": 2, "text": "long enough"})
    with pytest.raises(ollama.ResponseError, match="no room"):
        await _chat(client, streamed=True)


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("chat", {"model": "m", "messages": []}, "messages is required"),
        ("chat", {"messages": ASKED}, "model is required"),
        ("chat", {"model": "m", "messages": [{"role": "user", "content": [1]}]}, "cannot unmarshal array"),
        ("show", {}, "model is required"),
        ("show", [], "invalid character"),
    ],
)
async def test_what_the_server_refuses(
    server: fake_server.RunningServer, http: Any, path: str, body: Any, sentence: str
) -> None:
    async with http.post(f"{server.url}/api/{path}", json=body) as response:
        assert response.status == 400
        assert sentence in (await response.json())["error"]
