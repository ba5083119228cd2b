"""A task with the tools of MCP servers: one, several, all that are found, and some that fail."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from composite_llm import InvalidOption
from composite_llm.work import Executor, ServerFailed, ToolRunner, autonomous
from fake_server import ThreadedServer
from tests.support import wire

pytest.importorskip("mcp.server.mcpserver", reason="the extra `mcp` is not installed")

SCRIPT = Path(__file__).resolve().parents[1] / "assets" / "mcp_tool_server.py"
SERVER = {"name": "sky", "command": sys.executable, "args": [str(SCRIPT)]}
BROKEN = {"name": "broken", "command": sys.executable, "args": ["-c", "raise SystemExit(3)"]}
MODELS = ["openai/gpt-4o", "composite/moa/openai/gpt-4o"]


@pytest.fixture
def executor(server: ThreadedServer) -> Executor:
    return Executor("openai/gpt-4o", options={"api_base": server.base_url, "api_key": "sk-test"})


def asks(server: ThreadedServer, *calls: tuple[str, dict[str, Any]], end: str = "It rains.") -> None:
    listed = [{"id": f"c{at}", "name": name, "arguments": arguments} for at, (name, arguments) in enumerate(calls)]
    first = {"tool_calls": listed}
    rule = {"contains": "c0", "then": {"text": end}}
    server.set_scenario(
        "gpt-4o",
        {"sequence": [first, {"text": end}], "by_content": [{"contains": "[material", "then": {"text": end}}, rule]},
    )


def results(server: ThreadedServer) -> list[str]:
    sent = wire.records(server, "gpt-4o")[-1].body["messages"]
    return [message["content"] for message in sent if message["role"] == "tool"]


async def test_a_plain_model_works_with_a_servers_tools(server: ThreadedServer, executor: Executor) -> None:
    asks(server, ("weather", {"city": "Oslo", "days": 2}), ("fail", {"reason": "no luck"}))
    events: list[Any] = []
    done = await autonomous("How is Oslo?", [SERVER], executor=executor, mode="trust", on_event=events.append)
    assert done.content == "It rains."
    assert done.servers == {"sky": "ok"}
    assert [(call["tool"], call["error"]) for call in done.tool_calls] == [("weather", None), ("fail", "ToolFailed")]
    assert events[0]["event"] == "server"
    assert events[-1]["event"] == "answer"
    assert sorted(event["event"] for event in events[1:-1]) == ["tool_called", "tool_called", "tool_done", "tool_done"]
    weather, failed = results(server)
    assert "Oslo: rain for 2" in weather
    assert "not instructions" in weather
    assert failed.startswith("Error: ToolFailed")
    assert done.used.tokens_input > 0
    assert done.used.cost_usd is not None


async def test_a_composite_works_with_them_too(server: ThreadedServer, executor: Executor) -> None:
    asks(server, ("weather", {"city": "Oslo"}))
    server.set_scenario("gpt-4o-mini", {"text": "a proposal"})
    members = Executor("composite/moa/openai/gpt-4o", options={**executor.options, "proposers": ["openai/gpt-4o-mini"]})
    done = await autonomous("How is Oslo?", [SERVER], executor=members, mode="trust", max_cost_usd=1.0)
    assert done.content == "It rains."
    assert "Oslo: rain for 1" in results(server)[0]
    assert done.metadata["run_id"]


async def test_in_manual_starting_a_server_and_each_tool_are_asked_for(
    server: ThreadedServer, executor: Executor
) -> None:
    asks(server, ("weather", {"city": "Oslo"}))
    asked: list[tuple[str, Any]] = []

    def approve(name: str, arguments: dict[str, Any]) -> bool:
        asked.append((name, arguments))
        return name == "start_server"

    await autonomous("How is Oslo?", [SERVER], executor=executor, approve=approve)
    assert [name for name, _ in asked] == ["start_server", "weather"]
    assert asked[0][1]["command"] == sys.executable
    assert "was not approved" in results(server)[0]
    with pytest.raises(ServerFailed, match="not approved"):
        await autonomous("How is Oslo?", [SERVER], executor=executor)
    await autonomous("How is Oslo?", [SERVER], executor=executor, allow=["start_server", "weather"])


async def test_tools_of_the_same_name_carry_their_servers(server: ThreadedServer, executor: Executor) -> None:
    asks(server, ("sky__weather", {"city": "Oslo"}), ("sky-2__weather", {"city": "Rome"}))
    done = await autonomous("x", [SERVER, SERVER], executor=executor, mode="trust")
    assert done.servers == {"sky": "ok", "sky-2": "ok"}
    assert ["Oslo" in results(server)[0], "Rome" in results(server)[1]] == [True, True]


async def test_a_server_that_fails_is_left_out_or_ends_it(server: ThreadedServer, executor: Executor) -> None:
    asks(server, ("weather", {"city": "Oslo"}))
    missing = {"name": "missing", "command": "/no/such/program"}
    done = await autonomous("x", [BROKEN, missing, SERVER, {"name": "odd"}], executor=executor, mode="trust")
    assert done.content == "It rains."
    assert done.servers["sky"] == "ok"
    assert all(done.servers[name] != "ok" for name in ("broken", "missing", "odd"))
    for policy in ("fail", {"broken": "fail"}):
        with pytest.raises(ServerFailed, match="server broken"):
            await autonomous("x", [BROKEN, SERVER], executor=executor, mode="trust", on_server_failure=policy)
    with pytest.raises(ServerFailed, match="no server could be started"):
        await autonomous("x", [BROKEN], executor=executor, mode="trust")


async def test_a_server_that_says_nothing_is_not_waited_for_longer_than_allowed(executor: Executor) -> None:
    silent = {"name": "silent", "command": sys.executable, "args": ["-c", "import time; time.sleep(60)"]}
    with pytest.raises(ServerFailed, match="TimeoutError"):
        await autonomous("x", [silent], executor=executor, mode="trust", server_timeout_s=0.5)


async def test_servers_come_from_a_file_whole_or_by_name(
    server: ThreadedServer, executor: Executor, tmp_path: Path
) -> None:
    asks(server, ("weather", {"city": "Oslo"}))
    path = tmp_path / "mcp.json"
    entries = {"sky": {"command": sys.executable, "args": [str(SCRIPT)]}, "other": {"command": "/no/such/program"}}
    path.write_text(json.dumps({"mcpServers": entries}))
    some = await autonomous("x", [f"{path}:sky"], executor=executor, mode="trust")
    assert some.servers == {"sky": "ok"}
    asks(server, ("weather", {"city": "Oslo"}))
    assert set((await autonomous("x", [path], executor=executor, mode="trust")).servers) == {"sky", "other"}
    with pytest.raises(InvalidOption, match="no server 'nothing'"):
        await autonomous("x", [f"{path}:nothing"], executor=executor)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"mcpServers": 3}', '{"mcpServers": {"a": 3}}'])
async def test_a_file_that_is_none_is_said(executor: Executor, tmp_path: Path, content: str) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(content)
    with pytest.raises(InvalidOption, match="cannot be read"):
        await autonomous("x", [path], executor=executor)


async def test_servers_are_discovered_where_clients_keep_them(
    server: ThreadedServer, executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCRIPT_OF_TEST", str(SCRIPT))
    for folder, name in ((tmp_path / ".vscode", "sky"), (tmp_path / "home" / ".cursor", "moon")):
        folder.mkdir(parents=True)
        entry = {"command": sys.executable, "args": ["${SCRIPT_OF_TEST}"]}
        (folder / "mcp.json").write_text(json.dumps({"servers": {name: entry}}))
    asks(server, ("sky__weather", {"city": "Oslo"}))
    done = await autonomous("x", "discover", executor=executor, mode="trust", root=tmp_path)
    assert done.servers == {"sky": "ok", "moon": "ok"}


async def test_the_files_of_a_folder_can_be_worked_on_besides(
    server: ThreadedServer, executor: Executor, project: Path
) -> None:
    asks(server, ("read_file", {"path": "README"}), ("write_file", {"path": "README", "content": "x"}))
    runner = ToolRunner(project, allow=["read_file"])
    done = await autonomous("x", [], executor=executor, tools=runner)
    assert done.content == "It rains."
    read, written = results(server)
    assert "read me" in read
    assert "not approved" in written
    assert (project / "README").read_text() == "read me\n"


async def test_without_any_tools_the_model_answers_alone(server: ThreadedServer, executor: Executor) -> None:
    server.set_scenario("gpt-4o", {"text": "by myself"})
    assert (await autonomous("x", executor=executor)).content == "by myself"
    assert "tools" not in wire.records(server, "gpt-4o")[-1].body


async def test_rounds_and_time_have_an_end(server: ThreadedServer, executor: Executor) -> None:
    call = {"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}
    server.set_scenario("gpt-4o", call)
    await autonomous("x", [SERVER], executor=executor, mode="trust", max_rounds=2)
    assert len(wire.records(server, "gpt-4o")) == 3
    assert wire.records(server, "gpt-4o")[-1].body["tool_choice"] == "none"
    server.set_scenario("gpt-4o", {"hang": True})
    with pytest.raises(TimeoutError):
        await autonomous("x", executor=executor, timeout_s=0.2)


async def test_several_tasks_at_once_do_not_mix_their_servers(server: ThreadedServer, executor: Executor) -> None:
    server.set_scenario("gpt-4o", {"text": "done"})
    both = await asyncio.gather(*(autonomous("x", [SERVER], executor=executor, mode="trust") for _ in range(2)))
    assert [one.servers for one in both] == [{"sky": "ok"}] * 2
