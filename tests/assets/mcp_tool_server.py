"""An MCP server for tests, over stdin and stdout: tools that answer, fail, and answer with something else than text."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import EmbeddedResource, ImageContent, TextContent, TextResourceContents

server = MCPServer("for tests")


@server.tool()
def weather(city: str, days: int = 1) -> str:
    """The weather in a city."""
    return f"{city}: rain for {days}"


@server.tool()
def fail(reason: str) -> str:
    """Fails."""
    raise ToolError(reason)


@server.tool()
def facts(city: str) -> dict[str, int]:
    """Answers with data."""
    return {"people": len(city)}


@server.tool(structured_output=False)
def picture() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Answers with parts."""
    page = TextResourceContents(uri="file:///page.txt", text="a page")
    return [
        TextContent(type="text", text="a caption"),
        ImageContent(type="image", data="aGVsbG8=", mime_type="image/png"),
        EmbeddedResource(type="resource", resource=page),
    ]


if __name__ == "__main__":
    server.run("stdio")
