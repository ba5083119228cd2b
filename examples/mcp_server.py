"""An MCP server with one tool, for `mcp_tools.py` and the documentation; it speaks over stdin and stdout."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("weather")


@server.tool()
def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: 4 degrees, clear"


if __name__ == "__main__":
    server.run("stdio")
