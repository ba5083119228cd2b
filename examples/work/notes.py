"""A project's memory: facts and files, found again by words, and put into a prompt as material. Needs OPENAI_API_KEY."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from composite_llm.work import Executor, Memory


def main() -> None:
    """Remember, index, ask."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "load.md").write_text("One server, some hundred writes a minute.\n", encoding="utf-8")
        memory = Memory(folder)
        memory.remember("backups", "restored once a month", source="ops meeting")
        memory.index()
        material = memory.excerpts("writes and backups", max_tokens=500)
        memory.close()
    answer = asyncio.run(Executor("openai/gpt-4.1").run(f"Postgres or SQLite?\n\n{material}"))
    print(answer.content)


if __name__ == "__main__":
    main()
