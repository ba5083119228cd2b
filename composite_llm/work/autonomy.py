"""One task, done by a model with the tools of one, several or all MCP servers that there are."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from composite_llm import ExecutionContext, InvalidOption, ToolGuard, mcp_executor
from composite_llm.work.errors import WorkError
from composite_llm.work.executor import Executor
from composite_llm.work.fencing import fenced
from composite_llm.work.sessions import Used
from composite_llm.work.tools.runner import ToolRunner

Event = Mapping[str, Any]
Server = str | os.PathLike[str] | Mapping[str, Any] | Any

PROJECT_FILES = (".mcp.json", "mcp.json", ".cursor/mcp.json", ".vscode/mcp.json")
HOME_FILES = (".config/composite_llm/mcp.json", ".cursor/mcp.json", ".claude.json")
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)\}")
_START = "start_server"
_PATIENCE_S = 10.0


class ServerFailed(WorkError):
    """An MCP server could not be started, or was not approved."""

    status_code = 502


@dataclass(frozen=True, slots=True)
class AutonomousResult:
    """What came of a task.

    Attributes:
        content: The model's last words.
        servers: By name: `ok`, or why it was not there.
        tool_calls: Each with `tool`, `server` and `error`.
        used: Calls, tokens and cost.
        metadata: As an `LLMResponse`'s.
    """

    content: str
    servers: Mapping[str, str]
    tool_calls: tuple[Mapping[str, Any], ...]
    used: Used
    metadata: Mapping[str, Any] = field(default_factory=dict)


async def autonomous(
    task: str,
    servers: Sequence[Server] | Literal["discover"] = (),
    model: str | None = None,
    mode: Literal["manual", "trust"] = "manual",
    *,
    allow: Collection[str] | None = None,
    approve: Callable[[str, dict[str, Any]], Any] | None = None,
    tools: ToolRunner | None = None,
    executor: Executor | None = None,
    on_server_failure: Literal["continue", "fail"] | Mapping[str, str] = "continue",
    on_event: Callable[[Event], object] | None = None,
    max_cost_usd: float | None = None,
    max_rounds: int = 20,
    timeout_s: float | None = None,
    server_timeout_s: float = 30.0,
    audit: Any = None,
    root: str | os.PathLike[str] = ".",
) -> AutonomousResult:
    """Have a model do a task with tools, until it is done or the rounds are used up.

    Args:
        task: What is to be done.
        servers: MCP servers: initialized sessions, mappings (`command`, `args`, `env`, or `url`, `headers`; `name`), or
            files in the form `{"mcpServers": {…}}`, of which `FILE:name,name` takes some. `discover`: those of the
            files where desktop clients keep them, in the folder `root` and the home folder.
        model: A model string, tier or composite; default: the executor's.
        mode: As a `ToolGuard`'s. In `manual` starting a server that a file or mapping names is put to `approve` too, as
            `start_server`, since it runs a program.
        allow: Names of tools (as the model sees them) and `start_server`, that need not be asked for.
        approve: `(name, arguments) -> bool`, sync or async.
        tools: The files and commands of a folder besides, under the runner's own guard.
        executor: Makes the calls.
        on_server_failure: `continue` without a server that cannot be started, or `fail`; or by server's name.
        on_event: Told of what happens: `server`, `tool_called`, `tool_done`, `answer`.
        max_cost_usd: For all calls; composites keep to it.
        max_rounds: Of tools.
        timeout_s: For all of it.
        server_timeout_s: To start a server, and for each of its tools.
        audit: As a `ToolGuard`'s.
        root: Where `discover` looks.

    Raises:
        ServerFailed: A server failed whose policy is `fail`, or nothing is left to work with.
        AllProvidersFailedError: The model failed.
        TimeoutError: It took too long.
    """
    tell = _Teller(on_event)
    wanted = _discovered(Path(root)) if servers == "discover" else [one for given in servers for one in _named(given)]
    async with asyncio.timeout(timeout_s), AsyncExitStack() as stack:
        states: dict[str, str] = {}
        open_servers: dict[str, Any] = {}
        for name, definition in wanted:
            name = _unlike(name, states)
            try:
                await _permitted(name, definition, mode, allow, approve)
                connected = stack.enter_async_context(_connected(definition, server_timeout_s))
                open_servers[name] = await connected
                states[name] = "ok"
            except Exception as error:  # noqa: BLE001  # a server fails in as many ways as there are programs
                states[name] = error.message if isinstance(error, WorkError) else f"failed: {type(error).__name__}"
                policy = (
                    on_server_failure if isinstance(on_server_failure, str) else on_server_failure.get(name, "continue")
                )
                if policy == "fail":
                    raise ServerFailed(f"server {name}: {states[name]}") from None
            tell(event="server", server=name, state=states[name])
        if wanted and not open_servers and tools is None:
            raise ServerFailed(
                "no server could be started: " + "; ".join(f"{name}: {why}" for name, why in states.items())
            )
        toolbox = await _Toolbox.opened(open_servers, tools, tell)
        guard_mode: dict[str, Any] = {"mode": mode, "allow": None if allow is None else [*allow]}
        guarded = ToolGuard(toolbox, approve=approve, timeout_s=server_timeout_s, audit=audit, **guard_mode)
        options: dict[str, Any] = {"tools": toolbox.schemas, "tool_executor": _Router(guarded, tools, toolbox.local)}
        if not toolbox.schemas:
            options = {}
        if max_cost_usd is not None:
            options["max_cost_usd"] = max_cost_usd
        if model is not None:
            options["model"] = model
        limit = {"max_tool_rounds": max_rounds} if options.get("tools") else {}
        context = ExecutionContext(workflow_name="autonomous", task_type="autonomous")
        answer = await (executor or Executor()).run(task, context, **options, **limit)
        tell(event="answer", content=answer.content)
        used = Used(1, answer.tokens_input, answer.tokens_output, answer.cost_estimate)
        return AutonomousResult(answer.content, states, tuple(toolbox.calls), used, answer.metadata)


class _Teller:
    def __init__(self, on_event: Callable[[Event], object] | None) -> None:
        self._on_event = on_event

    def __call__(self, **event: Any) -> None:
        if self._on_event is not None:
            self._on_event(event)


class _Toolbox:
    """The tools of all servers under names that differ."""

    def __init__(self, tell: _Teller) -> None:
        self._tell = tell
        self._where: dict[str, tuple[str, str, Any]] = {}
        self.schemas: list[dict[str, Any]] = []
        self.local: frozenset[str] = frozenset()
        self.calls: list[dict[str, Any]] = []

    @classmethod
    async def opened(cls, servers: Mapping[str, Any], runner: ToolRunner | None, tell: _Teller) -> _Toolbox:
        box = cls(tell)
        listed = {name: await mcp_executor(session).tools() for name, session in servers.items()}
        own = await runner.tools() if runner is not None else []
        box.local = frozenset(tool["function"]["name"] for tool in own)
        names = [tool["function"]["name"] for tools in (*listed.values(), own) for tool in tools]
        box.schemas += own
        for server, tools in listed.items():
            for tool in tools:
                name = tool["function"]["name"]
                shown = name if names.count(name) == 1 else f"{_plain(server)}__{name}"
                box._where[shown] = (server, name, mcp_executor(servers[server]))
                box.schemas.append({**tool, "function": {**tool["function"], "name": shown}})
        return box

    def covers(self, names: Collection[str]) -> bool:
        return all(name in self._where or name in self.local for name in names)

    async def __call__(self, name: str, arguments: dict[str, Any]) -> Any:
        server, own_name, executor = self._where[name]
        self._tell(event="tool_called", server=server, tool=own_name)
        call: dict[str, Any] = {"tool": own_name, "server": server, "error": None}
        self.calls.append(call)
        try:
            result: Any = await executor(own_name, arguments)
        except Exception as error:
            call["error"] = type(error).__name__
            raise
        finally:
            self._tell(event="tool_done", server=server, tool=own_name, error=call["error"])
        return _material(result, f"result of {own_name} of server {server}")


def _material(result: Any, source: str) -> Any:
    """A result with its texts between marks; pictures and the like stay what they are."""
    if isinstance(result, list):
        return [{**part, "text": fenced(str(part["text"]), source)} if "text" in part else part for part in result]
    return fenced(str(result), source)


class _Router:
    """The runner's tools go to the runner, whose guard knows commands; all others to the servers' guard."""

    def __init__(self, servers: ToolGuard, runner: ToolRunner | None, local: frozenset[str]) -> None:
        self._servers = servers
        self._runner = runner
        self._local = local

    def __deepcopy__(self, _memo: Any) -> _Router:
        return self

    def covers(self, names: Collection[str]) -> bool:
        return self._servers.covers(names)

    async def __call__(self, name: str, arguments: dict[str, Any]) -> Any:
        return await self._of(name)(name, arguments)

    async def run_tool(self, name: str, arguments: dict[str, Any], context: Any) -> Any:
        return await self._of(name).run_tool(name, arguments, context)

    def note_unreadable(self, name: str, arguments: str, context: Any) -> None:
        self._of(name).note_unreadable(name, arguments, context)

    def _of(self, name: str) -> Any:
        return self._runner if name in self._local and self._runner is not None else self._servers


async def _permitted(name: str, definition: Any, mode: str, allow: Any, approve: Any) -> None:
    if not isinstance(definition, Mapping):
        return  # A session that the caller has opened.
    shown = {key: definition[key] for key in ("command", "args", "url") if key in definition}
    guard = ToolGuard({_START: lambda **_: ""}, mode=mode, allow=allow, approve=approve)  # type: ignore[arg-type]
    try:
        await guard(_START, {"server": name, **shown})
    except Exception:  # noqa: BLE001  # whatever keeps the answer from being yes
        raise ServerFailed("its start was not approved") from None


@asynccontextmanager
async def _connected(definition: Any, timeout_s: float) -> AsyncIterator[Any]:
    """A session with a server; it is opened and closed by a task of its own, as its library wants."""
    if not isinstance(definition, Mapping):
        yield definition
        return
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()
    holder = asyncio.create_task(_hold(definition, opened, over))
    try:
        async with asyncio.timeout(timeout_s):
            session = await opened
        yield session
    finally:
        over.set()
        if not opened.done() or opened.cancelled() or opened.exception() is not None:
            holder.cancel()
        # Its library gives the program some seconds to end by itself before it ends it.
        _, waiting = await asyncio.wait({holder}, timeout=_PATIENCE_S)
        if waiting:
            holder.cancel()
            await asyncio.wait(waiting, timeout=_PATIENCE_S)


async def _hold(definition: Mapping[str, Any], opened: asyncio.Future[Any], over: asyncio.Event) -> None:
    try:
        async with AsyncExitStack() as stack:
            streams = await stack.enter_async_context(_transport(definition))
            from mcp import ClientSession

            session = await stack.enter_async_context(ClientSession(streams[0], streams[1]))
            await session.initialize()
            if not opened.done():
                opened.set_result(session)
            await over.wait()
    except BaseException as error:
        if not opened.done():
            opened.set_exception(error if isinstance(error, Exception) else ServerFailed("it was ended"))
        elif isinstance(error, asyncio.CancelledError):
            raise


def _transport(definition: Mapping[str, Any]) -> Any:
    try:
        from mcp import StdioServerParameters
        from mcp.client import streamable_http
        from mcp.client.stdio import stdio_client
    except ImportError:
        raise InvalidOption("servers", "needs the extra `mcp`", allowed='pip install "composite-llm[mcp]"') from None
    filled = _filled(dict(definition))
    if "url" in filled:
        http: Any = streamable_http
        client = http.create_mcp_http_client(headers=dict(filled.get("headers") or {}))
        return http.streamable_http_client(filled["url"], http_client=client)
    if not filled.get("command"):
        raise ServerFailed("has neither a command nor a url")
    settings = {key: filled[key] for key in ("command", "args", "env", "cwd") if filled.get(key) is not None}
    # What a server writes to its standard error is for nobody here.
    silence: Any = subprocess.DEVNULL
    return stdio_client(StdioServerParameters(**settings), errlog=silence)


def _filled(value: Any) -> Any:
    """With `${NAME}` as the environment has it, so that keys need not stand in files."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: os.environ.get(match[1], ""), value)
    if isinstance(value, Mapping):
        return {key: _filled(inner) for key, inner in value.items()}
    return [_filled(inner) for inner in value] if isinstance(value, list) else value


def _named(given: Server) -> list[tuple[str, Any]]:
    if isinstance(given, Mapping):
        return [(str(given.get("name") or Path(str(given.get("command") or given.get("url") or "server")).name), given)]
    if not isinstance(given, str | os.PathLike):
        return [("session", given)]
    path, _, chosen = str(given).partition(":")
    found = _of_file(Path(path))
    if not chosen:
        return found
    missing = [name for name in chosen.split(",") if name not in dict(found)]
    if missing:
        raise InvalidOption("servers", f"{path} has no server {missing[0]!r}", allowed=", ".join(dict(found)) or "none")
    return [(name, dict(found)[name]) for name in chosen.split(",")]


def _of_file(path: Path) -> list[tuple[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content.get("mcpServers") or content.get("servers") or {}
        return [(str(name), dict(definition)) for name, definition in entries.items()]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidOption(
            "servers", f"{str(path)!r} cannot be read", allowed='a file like {"mcpServers": {…}}'
        ) from None


def _discovered(root: Path) -> list[tuple[str, Any]]:
    found: dict[str, Any] = {}
    for path in [*(root / name for name in PROJECT_FILES), *(Path.home() / name for name in HOME_FILES)]:
        if path.is_file():
            for name, definition in _of_file(path):
                found.setdefault(name, definition)
    return list(found.items())


def _unlike(name: str, taken: Collection[str]) -> str:
    number = 2
    unlike = name
    while unlike in taken:
        unlike, number = f"{name}-{number}", number + 1
    return unlike


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:32]
