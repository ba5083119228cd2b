"""A council that reads a folder's files by itself; whatever else it wants to do is refused, and written down.

Needs OPENAI_API_KEY and ANTHROPIC_API_KEY.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import litellm

import composite_llm
from composite_llm.work import READ_TOOLS, ToolRunner


async def ask(runner: ToolRunner) -> str:
    """Let the final model look before it answers."""
    response = await litellm.acompletion(
        model="composite/moa/openai/gpt-4.1",
        messages=[{"role": "user", "content": "Postgres or SQLite for this project? Read the README."}],
        proposers=["openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5"],
        tools=await runner.tools(),
        tool_executor=runner,
    )
    return str(response.choices[0].message.content)


def main() -> None:
    """A folder, a runner that only reads, a question."""
    composite_llm.register()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "README").write_text("One server, some hundred writes a minute.\n", encoding="utf-8")
        # In the folder of the project's state, where tools do not reach.
        runner = ToolRunner(folder, allow=READ_TOOLS, audit=Path(folder, ".composite", "audit.jsonl"))
        print(asyncio.run(ask(runner)))


if __name__ == "__main__":
    main()
