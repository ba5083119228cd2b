"""The tools of an MCP server, run by the composite. Needs the extra `mcp`, OPENAI_API_KEY and ANTHROPIC_API_KEY."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import litellm
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

import composite_llm

SERVER = StdioServerParameters(command=sys.executable, args=[str(Path(__file__).with_name("mcp_server.py"))])


async def main() -> None:
    """Ask something that needs the server's tool."""
    composite_llm.register()
    async with stdio_client(SERVER) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        executor = composite_llm.mcp_executor(session)
        response = await litellm.acompletion(
            model="composite/moa/openai/gpt-4.1",
            messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
            proposers=["anthropic/claude-haiku-4-5"],
            tools=await executor.tools(),
            tool_executor=executor,
        )
    print(response.choices[0].message.content)


if __name__ == "__main__":
    asyncio.run(main())
