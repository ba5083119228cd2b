"""Fixtures: a server on the test's own loop, and the clients that talk to it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

import fake_server

Chat = Callable[..., Awaitable[tuple[int, Any, Any]]]
Stream = Callable[..., Awaitable[list[Any]]]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[fake_server.RunningServer]:
    async with fake_server.running() as running:
        yield running


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture
async def client(server: fake_server.RunningServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as openai:
        yield openai


def _body(content: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


@pytest.fixture
def chat(server: fake_server.RunningServer, http: aiohttp.ClientSession) -> Chat:
    """Post a plain request; return status, body (JSON, or text when it is none) and headers."""

    async def post(content: str = "Hello there", **fields: Any) -> tuple[int, Any, Any]:
        async with http.post(f"{server.base_url}/chat/completions", json=_body(content, fields)) as response:
            text = await response.text()
            try:
                return response.status, json.loads(text), response.headers
            except ValueError:
                return response.status, text, response.headers

    return post


@pytest.fixture
def stream(server: fake_server.RunningServer, http: aiohttp.ClientSession) -> Stream:
    """Post a streamed request; return its events: payloads, comments and "[DONE]"."""

    async def post(content: str = "Hello there", **fields: Any) -> list[Any]:
        body = _body(content, {"stream": True, **fields})
        async with http.post(f"{server.base_url}/chat/completions", json=body) as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            events = []
            for event in (await response.text()).split("\n"):
                if event.startswith("data: {"):
                    try:
                        events.append(json.loads(event[6:]))
                    except ValueError:
                        events.append(event)
                elif event:
                    events.append(event.removeprefix("data: "))
            return events

    return post
