"""`composite do`: one task, with the tools of MCP servers and of a folder."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from composite_llm.cli.exits import fail
from composite_llm.cli.target import ConfigOption, OfflineOption
from composite_llm.cli.working import TierOption, WorkModelOption, executor


def do(
    task: Annotated[str, typer.Argument(help="What is to be done.")],
    mcp: Annotated[
        list[str] | None,
        typer.Option("--mcp", metavar="FILE[:NAME,…]", help="MCP servers of a file, or 'discover'; once for each."),
    ] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="A folder whose files it may work on.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="A tool or command that need not be asked for.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Ask for nothing; commands run in a sandbox or not at all.")
    ] = False,
    model: WorkModelOption = None,
    tier: TierOption = None,
    max_cost_usd: Annotated[float | None, typer.Option("--max-cost-usd", help="US dollars at most.")] = None,
    max_rounds: Annotated[int, typer.Option("--max-rounds", help="Rounds of tools at most.")] = 20,
    audit: Annotated[Path | None, typer.Option("--audit", help="A file for a record of each tool's call.")] = None,
    config: ConfigOption = None,
    offline: OfflineOption = False,
) -> None:
    """Have a model do a task with tools."""
    from composite_llm.work import AllProvidersFailedError, ToolRunner, autonomous

    mode: Any = "trust" if trust else "manual"
    allowed = list(allow) if allow else None
    common: dict[str, Any] = {"approve": None if trust else _ask, "audit": audit}
    runner = ToolRunner(folder, mode, allow=_of_folder(allowed), **common) if folder is not None else None
    servers: Any = "discover" if mcp == ["discover"] else list(mcp or ())
    with executor(model, tier, config, offline=offline) as ready:
        going = autonomous(
            task,
            servers,
            mode=mode,
            allow=allowed,
            tools=runner,
            executor=ready,
            on_event=_tell,
            max_cost_usd=max_cost_usd,
            max_rounds=max_rounds,
            **common,
        )
        try:
            done = asyncio.run(going)
        except AllProvidersFailedError as error:
            fail(error.message)
    print(done.content)


def _of_folder(allowed: list[str] | None) -> list[str] | None:
    """What of the list is a tool or command of the folder; names of servers' tools have no meaning there."""
    from composite_llm.work import READ_TOOLS

    known = (*READ_TOOLS, "write_file", "apply_patch")
    return None if allowed is None else [name for name in allowed if name in known or " " in name]


def _ask(name: str, arguments: dict[str, Any]) -> bool:
    if not sys.stdin.isatty():
        return False
    from composite_llm.cli.terminal_text import harmless

    print(f"{name} {harmless(json.dumps(arguments, ensure_ascii=False))}", file=sys.stderr)
    return input("Run it? [y/N] ").strip().lower() in ("y", "yes")


def _tell(event: Any) -> None:
    if event["event"] in ("server", "tool_called"):
        what = event.get("state") or event.get("tool")
        print(f"{event['server']}: {what}", file=sys.stderr)
