"""MCP servers as tool executors, over a session of the official `mcp` package."""

from __future__ import annotations

import asyncio
from typing import Any

from composite_llm.model.messages import as_text, modality
from composite_llm.model.tool_results import ToolContent, content_text, parts_in


class ToolFailed(Exception):  # told to the model
    """The server says that its tool failed."""


class MCPExecutor:
    """Runs tools on an MCP server.

    Args:
        session: An initialized `mcp.ClientSession`.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def __deepcopy__(self, _memo: Any) -> MCPExecutor:
        return self

    async def __call__(self, name: str, arguments: dict[str, Any]) -> ToolContent:
        """The tool's result: text, or content parts where pictures, sounds or files are among it.

        Raises:
            ToolFailed: The server says so.
        """
        result = await self._on_its_loop(self._session.call_tool(name, arguments))
        content = _content_of(result)
        if _either(result, "is_error", "isError"):
            raise ToolFailed(content_text(content) or f"{name} failed")
        return content

    async def tools(self) -> list[dict[str, Any]]:
        """The server's tools in the form of the `tools` parameter."""
        listed = await self._listed()
        return [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description or "",
                    "parameters": _either(tool, "input_schema", "inputSchema") or {"type": "object", "properties": {}},
                },
            }
            for tool in listed
        ]

    async def _listed(self) -> list[Any]:
        """All pages of the server's list."""
        listed = await self._on_its_loop(self._session.list_tools())
        tools = list(listed.tools)
        while cursor := _either(listed, "next_cursor", "nextCursor"):
            from mcp.types import PaginatedRequestParams

            page = PaginatedRequestParams(cursor=cursor)
            listed = await self._on_its_loop(self._session.list_tools(params=page))
            tools += listed.tools
        return tools

    async def _on_its_loop(self, request: Any) -> Any:
        """A session lives on the loop it was opened on; a sync call runs on another."""
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return await request
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(request, self._loop))


def mcp_executor(session: Any) -> MCPExecutor:
    """A tool executor over an initialized `mcp.ClientSession`.

    Make it on the event loop of the session. With the sync `litellm.completion` that loop must run on another thread.
    """
    return MCPExecutor(session)


def _either(holder: Any, new: str, old: str) -> Any:
    # mcp 2 renamed its fields from camel case.
    return getattr(holder, new, None) if hasattr(holder, new) else getattr(holder, old, None)


def _content_of(result: Any) -> ToolContent:
    parts = list(getattr(result, "content", None) or ())
    structured = _either(result, "structured_content", "structuredContent")
    if not parts:
        return as_text(structured) if structured is not None else ""
    if any(modality(part) for part in parts_in(parts)):
        return parts_in(parts)
    return "\n".join(_text_of(part) for part in parts)


def _text_of(part: Any) -> str:
    text = getattr(getattr(part, "resource", part), "text", None)
    return text if isinstance(text, str) else f"[{getattr(part, 'type', 'content')}]"
