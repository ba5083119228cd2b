from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from composite_llm.engine.threads import in_daemon_thread
from tests.support.interpreter import run_program

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_function_runs_on_a_daemon_thread_with_the_callers_context() -> None:
    VARIABLE.set("set here")

    def where(a: int, *, function: str) -> tuple[int, str, str, bool]:
        return a, function, VARIABLE.get(), threading.current_thread().daemon

    assert await in_daemon_thread(where, 1, function="any name") == (1, "any name", "set here", True)


@pytest.mark.parametrize(
    ("raised", "seen", "says"),
    [
        (ValueError("no"), ValueError, "^no$"),
        (StopIteration("gone"), RuntimeError, "^StopIteration: gone$"),
        (SystemExit(3), RuntimeError, "^SystemExit: 3$"),
        (KeyboardInterrupt(), RuntimeError, "^KeyboardInterrupt: $"),
        (asyncio.CancelledError(), RuntimeError, "^CancelledError: $"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_a_function_raises_comes_back_and_ends_no_loop(raised: Any, seen: Any, says: str) -> None:
    def fails() -> None:
        raise raised

    with pytest.raises(seen, match=says):
        await in_daemon_thread(fails)


async def test_nobody_waits_for_a_thread_whose_caller_was_cancelled(released: threading.Event) -> None:
    task = asyncio.create_task(in_daemon_thread(released.wait, 30))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_thread_that_ends_after_its_loop_says_nothing(
    released: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    seen: list[threading.Thread] = []

    def waits() -> None:
        seen.append(threading.current_thread())
        released.wait(30)

    async def leaves() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_daemon_thread(waits), 0.05)

    asyncio.run(leaves())
    released.set()
    seen[0].join(10)
    gc.collect()
    assert complaints == []


def test_the_interpreter_does_not_wait_for_a_function_that_hangs() -> None:
    done = run_program(
        """
        import asyncio, threading
        from composite_llm.engine.threads import in_daemon_thread

        async def main():
            try:
                await asyncio.wait_for(in_daemon_thread(threading.Event().wait), 0.05)
            except TimeoutError:
                print("left behind")

        asyncio.run(main())
        """
    )
    assert (done.stdout, done.stderr, done.returncode) == ("left behind\n", "", 0)
