"""The official client, sync and async, against the server."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

import fake_server

MESSAGES: Any = [{"role": "user", "content": "What is tea?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
CALLS = [{"name": "find", "arguments": {"query": "tea and milk", "limit": 10}}, {"name": "open", "arguments": "{bad"}]


@pytest.fixture(scope="module")
def threaded() -> Iterator[fake_server.ThreadedServer]:
    with fake_server.running_in_thread() as server:
        yield server


@pytest.fixture
def sync_client(threaded: fake_server.ThreadedServer) -> Iterator[OpenAI]:
    threaded.reset_scenarios()
    with OpenAI(base_url=threaded.base_url, api_key="none", max_retries=0) as client:
        yield client


def test_sync_plain_and_stream_agree(sync_client: OpenAI) -> None:
    plain = sync_client.chat.completions.create(model="m", messages=MESSAGES)
    text = plain.choices[0].message.content
    assert text
    with sync_client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == plain.usage
    assert chunks[0].choices[0].delta.role == "assistant"


def test_sync_errors_are_typed(threaded: fake_server.ThreadedServer, sync_client: OpenAI) -> None:
    kinds: dict[int, type[openai.APIStatusError]] = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
        503: openai.InternalServerError,
    }
    for status, kind in kinds.items():
        threaded.set_scenario("m", {"error": {"status": status}})
        with pytest.raises(kind) as caught:
            sync_client.chat.completions.create(model="m", messages=MESSAGES)
        assert caught.value.status_code == status
        assert caught.value.request_id


def test_thread_wait_until(threaded: fake_server.ThreadedServer, sync_client: OpenAI) -> None:
    threaded.set_scenario("m", {"hang": True})
    with pytest.raises(openai.APITimeoutError):
        sync_client.with_options(timeout=0.05).chat.completions.create(model="m", messages=MESSAGES)
    threaded.wait_until(lambda ledger: ledger.records[-1].disconnected)
    with pytest.raises(TimeoutError):
        threaded.wait_until(lambda _ledger: False, timeout_s=0.005)


def test_thread_reports_a_taken_port(threaded: fake_server.ThreadedServer) -> None:
    port = int(threaded.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="in use"), fake_server.running_in_thread(port=port):
        pass


def test_thread_reports_an_impossible_port() -> None:
    with pytest.raises(OverflowError), fake_server.running_in_thread(port=99_999):
        pass


async def test_async_plain_with_tools(server: fake_server.RunningServer, client: AsyncOpenAI) -> None:
    server.set_scenario("m", {"tool_calls": CALLS})
    answer = await client.chat.completions.create(model="m", messages=MESSAGES, tools=TOOLS)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert [call.function.name for call in message.tool_calls or [] if call.type == "function"] == ["find", "open"]


@pytest.mark.parametrize("interleaved", [False, True])
async def test_async_streamed_tools(server: fake_server.RunningServer, client: AsyncOpenAI, interleaved: bool) -> None:
    calls = [*CALLS, {"name": "last", "arguments": "0123456789", "id": "call_own"}]
    server.set_scenario("m", {"tool_calls": calls, "tool_argument_chars": 3, "interleaved_tool_deltas": interleaved})
    order, arguments, ids = [], ["", "", ""], []
    async with await client.chat.completions.create(model="m", messages=MESSAGES, tools=TOOLS, stream=True) as stream:
        async for chunk in stream:
            for call in chunk.choices[0].delta.tool_calls or []:
                assert call.function
                order.append(call.index)
                arguments[call.index] += call.function.arguments or ""
                ids += [call.id] if call.id else []
    assert arguments == ['{"query":"tea and milk","limit":10}', "{bad", "0123456789"]
    assert (order == sorted(order)) is not interleaved
    assert len(set(ids)) == 3
    assert ids[2] == "call_own"


async def test_async_stream_error(server: fake_server.RunningServer, client: AsyncOpenAI) -> None:
    server.set_scenario("m", {"error": {"status": 429, "retry_after": 2}})
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert caught.value.response.headers["retry-after"] == "2"
    assert caught.value.code == "rate_limit_exceeded"


async def test_async_models(server: fake_server.RunningServer, client: AsyncOpenAI) -> None:
    server.set_scenario("vendor/known", {})
    server.set_scenario("vendor/*", {})
    await client.chat.completions.create(model="used", messages=MESSAGES)
    assert [model.id async for model in client.models.list()] == ["vendor/known", "used"]


@pytest.mark.parametrize("drop", ["before", "headers", "body", "mid_stream"])
async def test_async_drops(server: fake_server.RunningServer, client: AsyncOpenAI, drop: str) -> None:
    server.set_scenario("m", {"drop": drop})
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model="m", messages=MESSAGES)


async def test_async_malformed_json(server: fake_server.RunningServer, client: AsyncOpenAI) -> None:
    server.set_scenario("m", {"malformed_json": True})
    with pytest.raises(ValueError, match=r"delimiter|Unterminated|Expecting"):
        await client.chat.completions.create(model="m", messages=MESSAGES)
