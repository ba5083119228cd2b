"""Tools of a real MCP server, over stdio, run by the composite."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import litellm
import pytest
from anyio.from_thread import start_blocking_portal

import composite_llm
from composite_llm.tools.mcp import MCPExecutor
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FIRST, KEY, MESSAGES, MOA
from tests.support.streams import request

mcp = pytest.importorskip("mcp", reason="the extra `mcp` is not installed")
# LiteLLM 1.94 brings the first release of the package, which has no such servers.
pytest.importorskip("mcp.server.mcpserver", reason="the extra `mcp` is not installed")

SCRIPT = Path(__file__).resolve().parents[1] / "assets" / "mcp_tool_server.py"
SERVER = mcp.StdioServerParameters(command=sys.executable, args=[str(SCRIPT)])
DONE = {"text": "Take an umbrella."}


@asynccontextmanager
async def session() -> AsyncIterator[Any]:
    from mcp.client.stdio import stdio_client

    # Its default is the `sys.stderr` of its import, which in a test is closed by now.
    async with stdio_client(SERVER, errlog=sys.__stderr__) as (read, write), mcp.ClientSession(read, write) as opened:
        await opened.initialize()
        yield opened


def asks(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    listed = [{"id": f"c{at}", "name": name, "arguments": arguments} for at, (name, arguments) in enumerate(calls)]
    return {"sequence": [{"tool_calls": listed}, DONE]}


def results(server: ThreadedServer) -> list[str]:
    sent = wire.records(server, "gpt-4o")[-1].body["messages"]
    return [message["content"] for message in sent if message["role"] == "tool"]


async def test_the_servers_tools_are_listed_as_the_tools_parameter_takes_them(server: ThreadedServer) -> None:
    async with session() as opened:
        tools = await composite_llm.mcp_executor(opened).tools()
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    assert set(functions) == {"weather", "fail", "facts", "picture"}
    assert all(tool["type"] == "function" for tool in tools)
    weather = functions["weather"]
    assert weather["description"] == "The weather in a city."
    assert weather["parameters"]["properties"]["city"]["type"] == "string"
    assert weather["parameters"]["required"] == ["city"]


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
async def test_a_run_uses_the_servers_tools_and_tells_what_went_wrong(streams: bool, server: ThreadedServer) -> None:
    calls = [
        ("weather", {"city": "Oslo", "days": 2}),
        ("fail", {"reason": "no such city"}),
        ("facts", {"city": "Oslo"}),
        ("picture", {}),
        ("nobody", {}),
    ]
    server.set_scenario("gpt-4o", asks(*calls))
    async with session() as opened:
        executor = composite_llm.mcp_executor(opened)
        options = request(server, proposers=[FIRST], tools=await executor.tools(), tool_executor=executor)
        answer: Any = await litellm.acompletion(**options, stream=streams)
        if streams:
            chunks = [chunk async for chunk in answer]
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == DONE["text"]
        else:
            assert answer.choices[0].message.content == DONE["text"]
    weather, fail, facts, picture, nobody = (cast("Any", result) for result in results(server))
    assert weather == "Oslo: rain for 2"
    assert fail.startswith("Error: ToolFailed: ")
    assert "no such city" in fail
    assert json.loads(facts) == {"people": 4}
    # LiteLLM puts a tool's pictures behind its texts, in a user's message of their own.
    assert picture == [{"type": "text", "text": "a caption"}, {"type": "text", "text": "a page"}]
    seen = [message for message in server.ledger.records[-1].body["messages"] if "aGVsbG8=" in str(message)]
    assert [part["type"] for message in seen for part in message["content"]][-1] == "image_url"
    assert nobody.startswith("Error: ")
    records = composite_llm.get_trace(answer).tool_calls
    assert [record.name for record in records] == [name for name, _ in calls]
    assert [record.error is None for record in records] == [True, False, True, True, False]
    assert records[3].result == "a caption\n[image]\na page"


async def test_under_guard_and_through_a_router(server: ThreadedServer, tmp_path: Path) -> None:
    server.set_scenario("gpt-4o", asks(("weather", {"city": "Oslo"}), ("fail", {"reason": "x"})))
    async with session() as opened:
        executor = composite_llm.mcp_executor(opened)
        assert copy.deepcopy(executor) is executor
        guard = composite_llm.ToolGuard(executor, allow=["weather"], audit=tmp_path / "audit.jsonl", timeout_s=20)
        deployed = {
            "model": MOA,
            "api_base": server.base_url,
            "api_key": KEY,
            "proposers": [FIRST],
            "tool_executor": guard,
        }
        router = litellm.Router(model_list=[{"model_name": "wise", "litellm_params": deployed}], num_retries=0)
        answer: Any = await router.acompletion(model="wise", messages=MESSAGES, tools=await executor.tools())
    assert answer.choices[0].message.content == DONE["text"]
    assert results(server) == ["Oslo: rain for 1", "Error: ToolRefused: the call of fail was not approved"]
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert sorted((line["tool"], line["approval"]) for line in lines) == [("fail", "refused"), ("weather", "allowed")]


@pytest.fixture
def elsewhere() -> Iterator[tuple[MCPExecutor, list[Any]]]:
    """An executor whose session lives on a loop of another thread, and its tools."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[tuple[MCPExecutor, list[Any]]]:
        async with session() as opened:
            executor = composite_llm.mcp_executor(opened)
            yield executor, await executor.tools()

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opening()) as found:
        yield found


def test_a_sync_call_uses_a_session_of_another_threads_loop(
    elsewhere: tuple[MCPExecutor, list[Any]], server: ThreadedServer
) -> None:
    executor, tools = elsewhere
    server.set_scenario("gpt-4o", asks(("weather", {"city": "Oslo"})))
    answer = litellm.completion(**request(server, proposers=[FIRST], tools=tools, tool_executor=executor))
    assert answer.choices[0].message.content == DONE["text"]
    assert results(server) == ["Oslo: rain for 1"]


class Tool:
    def __init__(self, name: str) -> None:
        self.name, self.description, self.input_schema = name, None, None


class Page:
    def __init__(self, names: str, next_cursor: str | None) -> None:
        self.tools, self.next_cursor = [Tool(name) for name in names], next_cursor


class PagingSession:
    """A session whose server lists its tools on three pages."""

    async def list_tools(self, params: Any = None) -> Page:
        return {None: Page("ab", "2"), "2": Page("c", "3"), "3": Page("d", None)}[params and params.cursor]


async def test_all_pages_of_the_servers_list_are_read(provider: None) -> None:
    tools = await composite_llm.mcp_executor(PagingSession()).tools()
    assert [tool["function"]["name"] for tool in tools] == ["a", "b", "c", "d"]
    assert tools[0]["function"]["parameters"] == {"type": "object", "properties": {}}


def test_made_outside_a_loop_it_runs_on_whichever_loop_asks(provider: None) -> None:
    executor = composite_llm.mcp_executor(PagingSession())
    assert len(asyncio.run(executor.tools())) == 4
