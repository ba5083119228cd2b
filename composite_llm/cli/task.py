"""`composite task`: pieces of work that outlive the process that does them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composite_llm.cli.exits import fail, misuse
from composite_llm.cli.lazy_group import Entry, new_app
from composite_llm.cli.output import Json, print_json, print_table
from composite_llm.cli.target import ConfigOption, OfflineOption
from composite_llm.cli.working import TierOption, WorkModelOption, executor

if TYPE_CHECKING:
    from composite_llm.work import Executor, Task, TaskQueue, TaskRun

_HERE = "composite_llm.cli.task"

COMMANDS: dict[str, Entry] = {
    "add": Entry(
        f"{_HERE}:add", "Put a task into the queue.", 'composite task add "Summarize the README" --priority 5'
    ),
    "list": Entry(
        f"{_HERE}:list_tasks",
        "List tasks, in the order in which they are taken.",
        "composite task list --status queued",
    ),
    "show": Entry(
        f"{_HERE}:show", "Show a task: its history, its result, what it left.", "composite task show 3f2a91c0"
    ),
    "run": Entry(f"{_HERE}:run", "Work: do what waits, or one task.", "composite task run --model openai/gpt-4.1"),
    "resume": Entry(
        f"{_HERE}:resume", "Put a failed or cancelled task back into the queue.", "composite task resume 3f2a91c0"
    ),
    "cancel": Entry(f"{_HERE}:cancel", "End a task.", "composite task cancel 3f2a91c0"),
}
"""Every command, in the order of `composite task --help`."""

app = new_app(COMMANDS)

ProjectOption = Annotated[Path, typer.Option("--project", help="The project's folder.", show_default="here")]
IdArgument = Annotated[str, typer.Argument(help="The task's id.")]


@app.callback()
def task() -> None:
    """Keep pieces of work, and do them."""


def add(
    title: Annotated[str, typer.Argument(help="What is to be done; a prompt's text, unless there is a workflow.")],
    workflow: Annotated[str | None, typer.Option("--workflow", help="A workflow's name or file.")] = None,
    fact: Annotated[
        list[str] | None, typer.Option("--fact", help="A fact of the memory that it wants to know.")
    ] = None,
    session: Annotated[str | None, typer.Option("--session", help="The session that it belongs to.")] = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher comes first.")] = 0,
    project: ProjectOption = Path(),
) -> None:
    """Put a task into the queue."""
    payload: dict[str, Any] = {"prompt": title} if workflow is None else {"workflow": workflow}
    kind = "prompt" if workflow is None else "workflow"
    added = _queue(project).add(title, kind, payload, priority=priority, session=session, context_keys=fact or ())
    print(added.id)


def list_tasks(
    status: Annotated[str | None, typer.Option("--status", help="queued, running, done, failed or cancelled.")] = None,
    project: ProjectOption = Path(),
    as_json: Json = False,
) -> None:
    """List tasks, in the order in which they are taken."""
    known = ("queued", "running", "done", "failed", "cancelled")
    if status is not None and status not in known:
        misuse(f"--status {status}: {', '.join(known)}")
    tasks = _queue(project).list(status)  # type: ignore[arg-type]  # looked at above
    if as_json:
        print_json(tasks)
    else:
        print_table(
            ["id", "status", "title", "error"], [[task.id, task.status, task.title, task.error or ""] for task in tasks]
        )


def show(id: IdArgument, project: ProjectOption = Path(), as_json: Json = False) -> None:
    """Show a task: its history, its result, what it left."""
    queue = _queue(project)
    task, artefacts = queue.get(id), queue.artefacts(id)
    if as_json:
        print_json({"task": task, "artefacts": artefacts})
        return
    print(f"{task.title}\n{task.status}" + (f": {task.error}" if task.error else ""))
    for event in task.history:
        print(f"  {event['event']} {event['detail']}".rstrip())
    for name, content in artefacts.items():
        print(f"\n## {name}\n{content}")


def run(
    id: Annotated[str | None, typer.Argument(help="The task's id.", show_default="all that wait")] = None,
    model: WorkModelOption = None,
    tier: TierOption = None,
    config: ConfigOption = None,
    offline: OfflineOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Work: do what waits, or one task."""
    queue = _queue(project)
    if id is not None:
        queue.get(id)
    with executor(model, tier, config, offline=offline) as ready:
        done = asyncio.run(_work(queue, ready, project, id))
    for task in done:
        print(f"{task.id} {task.status} {task.title}" + (f": {task.error}" if task.error else ""))
    if id is not None and not done:
        fail(f"task {id} cannot be taken: it is {queue.get(id).status}")
    if any(task.status != "done" for task in done):
        raise typer.Exit(1)


def resume(
    id: IdArgument,
    redo: Annotated[bool, typer.Option("--redo", help="Also run again a step that may have happened.")] = False,
    project: ProjectOption = Path(),
) -> None:
    """Put a failed or cancelled task back into the queue."""
    _queue(project).resume(id, redo=redo)


def cancel(id: IdArgument, project: ProjectOption = Path()) -> None:
    """End a task."""
    _queue(project).cancel(id)


def _queue(project: Path) -> TaskQueue:
    from composite_llm.work import TaskQueue, state_file

    return TaskQueue(state_file(project, "tasks.sqlite"))


async def _work(queue: TaskQueue, ready: Executor, project: Path, id: str | None) -> list[Task]:
    from composite_llm.work import Worker

    async def prompt(task: Task, run: TaskRun) -> str:
        text = str(task.payload.get("prompt") or task.title)
        answer = await run.step("answer", lambda: _answered(ready, task, text, project))
        run.keep("answer", str(answer))
        return str(answer)

    async def workflow(task: Task, run: TaskRun) -> dict[str, Any]:
        from composite_llm.work import markdown, run_workflow

        name = str(task.payload["workflow"])
        result = await run_workflow(name, str(project), executor=ready, task=run)
        run.keep("report", markdown(name, result.findings, result.notes))
        run.keep("usage", json.dumps({"calls": result.used.calls, "cost_usd": result.used.cost_usd}))
        return {"status": result.status, "findings": len(result.findings)}

    worker = Worker(queue, {"prompt": prompt, "workflow": workflow})
    if id is None:
        return await worker.run_until_empty()
    one = await worker.run_one(id)
    return [one] if one is not None else []


async def _answered(ready: Executor, task: Task, text: str, project: Path) -> str:
    from composite_llm import ExecutionContext
    from composite_llm.work import Memory

    known = Memory(project).facts(list(task.context_keys), max_tokens=1000) if task.context_keys else []
    facts = "".join(f"{fact.key}: {fact.value}\n" for fact in known)
    prompt = f"What is known:\n{facts}\n{text}" if facts else text
    context = ExecutionContext(workflow_name="task", step_name=task.id, session_id=task.session)
    return (await ready.run(prompt, context)).content
