"""Tasks are done once, by one worker at a time, and go on where a lost worker stopped."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from composite_llm import InvalidOption
from composite_llm.work import LeaseLost, StepUncertain, Task, TaskConflict, TaskQueue, TaskRun, UnknownTask, Worker
from composite_llm.work import tasks as tasks_module
from composite_llm.work.errors import WorkError

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.sqlite"


@pytest.fixture
def queue(path: Path) -> TaskQueue:
    return TaskQueue(path)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Puts the queue's clock forward."""
    ahead = [0.0]
    monkeypatch.setattr(tasks_module, "now", lambda: time.time() + ahead[0])

    def forward(seconds: float) -> None:
        ahead[0] += seconds

    return forward


async def echo(task: Task, run: TaskRun) -> Any:
    """A handler that gives back what it got."""
    return {"payload": dict(task.payload)}


def events(task: Task) -> list[str]:
    return [str(event["event"]) for event in task.history]


async def test_a_task_is_done_and_its_history_says_how(queue: TaskQueue) -> None:
    added = queue.add("say hello", "echo", {"n": 1}, session="s", context_keys=["database"])
    assert (added.status, added.session, added.context_keys) == ("queued", "s", ("database",))
    [done] = await Worker(queue, {"echo": echo}, name="w").run_until_empty()
    assert (done.id, done.status, done.result) == (added.id, "done", {"payload": {"n": 1}})
    assert events(done) == ["added", "begun", "done"]
    assert await Worker(queue, {"echo": echo}).run_one() is None


async def test_higher_priority_comes_first_then_the_older(queue: TaskQueue) -> None:
    ids = [queue.add(f"task {priority}", "echo", priority=priority).id for priority in (0, 5, 0, 9)]
    done = await Worker(queue, {"echo": echo}).run_until_empty()
    assert [task.id for task in done] == [ids[3], ids[1], ids[0], ids[2]]


async def test_a_worker_takes_only_what_it_can_do_or_the_one_named(queue: TaskQueue) -> None:
    other, mine = queue.add("x", "other", priority=9), queue.add("y", "echo")
    worker = Worker(queue, {"echo": echo})
    assert await worker.run_one(other.id) is None
    assert [task.id for task in await worker.run_until_empty()] == [mine.id]
    assert [task.id for task in queue.list("queued")] == [other.id]


async def test_a_failure_is_tried_again_later_and_not_for_ever(
    queue: TaskQueue, later: Callable[[float], None]
) -> None:
    async def broken(task: Task, run: TaskRun) -> None:
        raise RuntimeError("the secret is sk-abcdefgh12345678")

    added = queue.add("x", "broken", max_attempts=3)
    worker = Worker(queue, {"broken": broken}, backoff_s=10)
    assert [task.status for task in await worker.run_until_empty()] == ["queued"]
    later(9)
    assert await worker.run_one() is None
    later(2)
    assert (await worker.run_one()).status == "queued"  # type: ignore[union-attr]
    later(11)
    assert await worker.run_one() is None
    later(10)
    failed = await worker.run_one()
    assert failed is not None
    assert (failed.status, failed.error, failed.attempts) == ("failed", "RuntimeError", 3)
    assert "abcdefgh" not in str(failed.history)
    assert queue.resume(added.id).status == "queued"


async def test_a_mistake_is_not_tried_again(queue: TaskQueue) -> None:
    async def mistaken(task: Task, run: TaskRun) -> None:
        raise WorkError("the payload has no prompt")

    queue.add("x", "mistaken")
    [failed] = await Worker(queue, {"mistaken": mistaken}).run_until_empty()
    assert (failed.status, failed.error, failed.attempts) == ("failed", "the payload has no prompt", 1)


async def test_finished_steps_are_not_run_again(queue: TaskQueue, later: Callable[[float], None]) -> None:
    ran: list[str] = []

    async def steps(task: Task, run: TaskRun) -> Any:
        async def second() -> dict[str, int]:
            ran.append("second")
            if ran.count("second") == 1:
                raise OSError("once")
            return {"b": 2}

        def begin() -> dict[str, int]:
            ran.append("first")
            return {"a": 1}

        first = await run.step("first", begin)
        return {**first, **await run.step("second", second)}

    queue.add("x", "steps")
    worker = Worker(queue, {"steps": steps})
    await worker.run_until_empty()
    later(3600)
    [done] = await worker.run_until_empty()
    assert done.result == {"a": 1, "b": 2}
    assert ran == ["first", "second", "second"]


async def test_only_one_worker_has_a_task(queue: TaskQueue, path: Path) -> None:
    added = queue.add("x", "echo")
    assert queue.claim("one") is not None
    assert TaskQueue(path).claim("two") is None
    assert TaskQueue(path).claim("two", id=added.id) is None


async def test_a_silent_workers_task_is_taken_and_what_it_still_does_is_not_recorded(
    queue: TaskQueue, later: Callable[[float], None]
) -> None:
    queue.add("x", "echo")
    first = queue.claim("one", lease_s=60)
    assert first is not None
    later(59)
    assert queue.claim("two") is None
    first.renew()
    later(59)
    assert queue.claim("two") is None
    later(2)
    second = queue.claim("two", lease_s=60)
    assert second is not None
    for late in (first.renew, lambda: first.end("done"), lambda: first.keep("a", "b")):
        with pytest.raises(LeaseLost):
            late()
    with pytest.raises(LeaseLost):
        await first.step("x", lambda: 1)
    second.end("done", result=2)
    assert queue.get(first.task.id).result == 2


async def test_a_step_that_must_not_run_twice_is_not_begun_again(
    queue: TaskQueue, later: Callable[[float], None]
) -> None:
    sent: list[str] = []

    async def sends(task: Task, run: TaskRun) -> Any:
        await run.step("look", lambda: "looked")
        return await run.step("send", lambda: sent.append("letter"), repeatable=False)

    added = queue.add("x", "sends")
    lost = queue.claim("lost", lease_s=1)
    assert lost is not None

    def dies() -> None:
        sent.append("letter")
        raise SystemExit

    with pytest.raises(SystemExit):
        await lost.step("send", dies, repeatable=False)
    later(2)
    worker = Worker(queue, {"sends": sends})
    [failed] = await worker.run_until_empty()
    assert failed.status == "failed"
    assert "may have happened" in (failed.error or "")
    assert sent == ["letter"]
    queue.resume(added.id, redo=True)
    [done] = await worker.run_until_empty()
    assert done.status == "done"
    assert sent == ["letter", "letter"]
    queue_step = queue.claim("w")
    assert queue_step is None


async def test_uncertainty_is_an_error_of_its_own(queue: TaskQueue, later: Callable[[float], None]) -> None:
    queue.add("x", "echo")
    first = queue.claim("one", lease_s=1)
    assert first is not None
    with pytest.raises(ZeroDivisionError):
        await first.step("send", lambda: 1 / 0, repeatable=False)
    later(2)
    second = queue.claim("two")
    assert second is not None
    with pytest.raises(StepUncertain):
        await second.step("send", lambda: 1, repeatable=False)


async def test_a_task_whose_workers_keep_dying_fails(queue: TaskQueue, later: Callable[[float], None]) -> None:
    added = queue.add("x", "echo", max_attempts=2)
    for _ in range(2):
        assert queue.claim("w", lease_s=1) is not None
        later(2)
    assert queue.claim("w") is None
    failed = queue.get(added.id)
    assert (failed.status, failed.error) == ("failed", "its worker was lost 2 times")


async def test_a_cancelled_task_stops_its_worker(queue: TaskQueue) -> None:
    begun = asyncio.Event()

    async def endless(task: Task, run: TaskRun) -> None:
        begun.set()
        await asyncio.Event().wait()

    added = queue.add("x", "endless")
    working = asyncio.create_task(Worker(queue, {"endless": endless}, lease_s=0.15).run_one())
    await begun.wait()
    queue.cancel(added.id)
    task = await working
    assert task is not None
    assert task.status == "cancelled"
    with pytest.raises(TaskConflict):
        queue.cancel(added.id)
    assert queue.resume(added.id).status == "queued"


async def test_a_worker_that_is_cancelled_puts_its_task_back(queue: TaskQueue) -> None:
    begun = asyncio.Event()

    async def endless(task: Task, run: TaskRun) -> None:
        begun.set()
        await asyncio.Event().wait()

    added = queue.add("x", "endless")
    working = asyncio.create_task(Worker(queue, {"endless": endless}).run_one())
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    task = queue.get(added.id)
    assert (task.status, task.attempts) == ("queued", 0)


async def test_a_handler_that_blocks_its_loop_keeps_its_lease(queue: TaskQueue, path: Path) -> None:
    other = TaskQueue(path)

    async def blocking(task: Task, run: TaskRun) -> bool:
        # The loop stands still for several leases; the signs of life come from a thread.
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            if other.claim("thief") is not None:
                return False
            # Blocks, as the handler is meant to, and leaves the file to others.
            time.sleep(0.1)  # noqa: ASYNC251
        return True

    queue.add("x", "blocking")
    [done] = await Worker(queue, {"blocking": blocking}, lease_s=1.0).run_until_empty()
    assert (done.status, done.result) == ("done", True)


async def test_artefacts_are_kept_with_the_task(queue: TaskQueue) -> None:
    async def leaves(task: Task, run: TaskRun) -> None:
        run.keep("answer", "first")
        run.keep("answer", "second")
        run.keep("patch", "--- a/x")

    added = queue.add("x", "leaves")
    await Worker(queue, {"leaves": leaves}).run_until_empty()
    assert queue.artefacts(added.id) == {"answer": "second", "patch": "--- a/x"}


@pytest.mark.parametrize(
    "bad", [{"title": " "}, {"title": "x", "payload": {"a": object()}}, {"title": "x", "max_attempts": 0}]
)
def test_a_task_that_cannot_be_kept_is_refused(queue: TaskQueue, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        queue.add(**bad)
    assert queue.list() == []


async def test_a_result_that_is_no_json_fails_the_task(queue: TaskQueue) -> None:
    async def odd(task: Task, run: TaskRun) -> Any:
        return object()

    queue.add("x", "odd")
    [failed] = await Worker(queue, {"odd": odd}).run_until_empty()
    assert failed.status == "failed"


def test_what_is_not_there_is_said(queue: TaskQueue) -> None:
    for use in (queue.get, queue.cancel, queue.resume):
        with pytest.raises(UnknownTask, match="'nothing'"):
            use("nothing")


async def append_line(task: Task, run: TaskRun) -> None:
    """A handler whose step is seen from outside."""

    def write() -> None:
        with open(task.payload["log"], "a") as log:  # one short line
            log.write(f"{task.id}\n")

    await run.step("write", write, repeatable=False)


def _work(path: Path) -> None:
    asyncio.run(Worker(TaskQueue(path), {"append": append_line}).run_until_empty())


def test_several_processes_do_each_task_once(queue: TaskQueue, path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    ids = [queue.add(f"task {number}", "append", {"log": str(log)}).id for number in range(40)]
    workers = [SPAWN.Process(target=_work, args=(path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(log.read_text().split()) == sorted(ids)
    assert {task.status for task in queue.list()} == {"done"}


async def three_steps(task: Task, run: TaskRun) -> str:
    """A handler that is killed in the middle of its second step, the first time."""
    folder = Path(task.payload["folder"])

    def step(name: str) -> str:
        with (folder / "log").open("a") as log:
            log.write(f"{name}\n")
        if name == "second" and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return name

    names = [await run.step(name, lambda name=name: step(name)) for name in ("first", "second", "third")]  # type: ignore[misc]
    return ",".join(names)


def _work_and_die(path: Path) -> None:
    asyncio.run(Worker(TaskQueue(path), {"three": three_steps}, lease_s=30).run_one())


async def test_a_killed_workers_task_goes_on_after_its_last_finished_step(
    queue: TaskQueue, path: Path, tmp_path: Path, later: Callable[[float], None]
) -> None:
    added = queue.add("x", "three", {"folder": str(tmp_path)})
    process = SPAWN.Process(target=_work_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert queue.get(added.id).status == "running"
    worker = Worker(queue, {"three": three_steps})
    assert await worker.run_one() is None
    later(31)
    done = await worker.run_one()
    assert done is not None
    assert (done.status, done.result, done.attempts) == ("done", "first,second,third", 2)
    assert (tmp_path / "log").read_text().split() == ["first", "second", "second", "third"]
