"""The event loop that sync calls run on: one per process, on a thread of its own.

`litellm.completion` may be called where a loop already runs (a notebook, `Router.completion`) and from many threads at
once, so neither `asyncio.run` nor the caller's loop will do.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from composite_llm.backend import compat
from composite_llm.provider.log_worker import give_own_log_worker

T = TypeVar("T")


class Portal:
    """Starts on first use; closes before the interpreter joins its threads; starts anew in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._context: AbstractContextManager[BlockingPortal] | None = None
        self._portal: BlockingPortal | None = None
        self._inherited: list[object] = []
        self._waited_for: set[Future[Any]] = set()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function there and wait. An interrupt (Ctrl-C) cancels it."""
        future = self.start(function)
        if not threading.current_thread().daemon:
            # Python lets such a thread finish before it ends, so its call must finish too.
            self._waited_for.add(future)
            future.add_done_callback(self._waited_for.discard)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, function: Callable[[], Awaitable[T]]) -> Future[T]:
        """Run a coroutine function there; cancelling the future cancels it."""
        return self._running().start_task_soon(function)

    def _running(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None:
                # First, so that an interpreter on its way down refuses here: it would wait for the loop's thread for ever.
                _before_threads_are_joined(self.close)
                self._context = start_blocking_portal("asyncio", name="composite_llm")
                self._portal = self._context.__enter__()
                give_own_log_worker(self._portal.call(_this_loop))
            return self._portal

    def close(self) -> None:
        """End the loop; what daemon threads, or nobody any more, wait for is cancelled."""
        wait(list(self._waited_for))
        with self._lock:
            context, self._context, self._portal = self._context, None, None
        if context is not None:
            context.__exit__(SystemExit, SystemExit(), None)

    def _forget(self) -> None:
        """In a forked child: the loop's thread is not here, and the lock may be held by one that is not either."""
        # Kept, since collecting the context manager would wait for that thread.
        self._inherited.append(self._context)
        self._lock, self._context, self._portal = threading.Lock(), None, None
        self._waited_for = set()


async def _this_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _before_threads_are_joined(function: Callable[[], None]) -> None:
    # An `atexit` hook comes too late: the interpreter joins the portal's thread first, and that never ends by itself.
    # `concurrent.futures` uses the same private hook for the same reason.
    register = compat.REGISTER_ATEXIT.get()
    if register is not None:
        register(function)


PORTAL = Portal()
