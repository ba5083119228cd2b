"""Tasks that a second worker takes up where the first one stopped. Needs OPENAI_API_KEY."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from composite_llm.work import Executor, Task, TaskQueue, TaskRun, Worker

executor = Executor("openai/gpt-4.1")


async def compare(task: Task, run: TaskRun) -> str:
    """Two steps; the first one's answer is not paid for twice."""

    async def ask(question: str) -> str:
        return (await executor.run(question)).content

    answer = await run.step("ask", lambda: ask(str(task.payload["question"])))
    run.keep("answer", answer)
    return answer


async def main() -> None:
    """One task, one worker."""
    with tempfile.TemporaryDirectory() as folder:
        queue = TaskQueue(Path(folder, "tasks.sqlite"))
        queue.add("Choose a database", "compare", {"question": "Postgres or SQLite?"})
        for task in await Worker(queue, {"compare": compare}).run_until_empty():
            print(task.status, task.result)
        queue.close()


if __name__ == "__main__":
    asyncio.run(main())
