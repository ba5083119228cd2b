"""An event loop whose clock jumps to the next timer: an hour of waiting takes no time, and a deadlock raises."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START = 1024.0
"""The clock's first moment: not 0, and a power of two, so that sums of binary fractions of a second stay exact."""

_SECONDS_FOR_A_THREAD = 0.2


class Deadlock(Exception):
    """Nothing is ready to run, no timer is set and no thread is at work: the awaited will never come."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.turns = 0
        self.threads = 0
        self.had_threads = False
        self._before = set(threading.enumerate())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        others = self._other_threads()
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.threads:
            return super().select(_SECONDS_FOR_A_THREAD)
        if others and (ready := super().select(_SECONDS_FOR_A_THREAD)):
            return ready
        if timeout is not None:
            self.now += timeout
            return []
        if self.had_threads and (ready := super().select(_SECONDS_FOR_A_THREAD)):
            return ready
        raise Deadlock("nothing is ready, no timer is set; waiting: " + "; ".join(sorted(_waiting())))

    def _other_threads(self) -> bool:
        """Whether a thread that is no idle worker of an executor may still have something to say to the loop."""
        return any(thread not in self._before and "composite_llm" in thread.name for thread in threading.enumerate())


def _waiting() -> list[str]:
    return [str(getattr(task.get_coro(), "__qualname__", task)) for task in asyncio.all_tasks()]


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time. While a thread of its executor works, the clock stands still."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self._counting = threading.Lock()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    @property
    def turns(self) -> int:
        """How often the loop has gone round."""
        return self._jumping.turns

    def run_in_executor(  # type: ignore[override]  # a variadic type variable says no more here
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._count_thread(1)

        def counted() -> T:
            try:
                return func(*args)
            finally:
                self._count_thread(-1)

        return super().run_in_executor(executor, counted)

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        self._count_thread(1)
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._count_thread(-1)

    def _count_thread(self, change: int) -> None:
        with self._counting:
            self._jumping.had_threads = True
            self._jumping.threads += change


def run(awaited: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a virtual time of its own, for tests that are no coroutines themselves."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(awaited)


def now() -> float:
    """Seconds of virtual time since the loop's start."""
    return asyncio.get_running_loop().time() - START


def turns() -> int:
    """How often the running loop has gone round."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop.turns


def other_tasks() -> set[asyncio.Task[Any]]:
    """Unfinished tasks of this loop besides the present one."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
