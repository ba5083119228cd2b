"""A worker of LiteLLM's log for the loop of sync calls alone.

LiteLLM has one worker per process, which moves to whichever loop logs next and leaves its task and its queue behind on the
other: an application with a loop of its own, beside which a sync composite runs, was told of destroyed tasks and lost
callbacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from composite_llm.backend import compat


def give_own_log_worker(loop: asyncio.AbstractEventLoop) -> None:
    """What LiteLLM logs on this loop goes to a worker of this loop from now on."""
    worker, kind = compat.LOG_WORKER.get(), compat.LOG_WORKER_CLASS.get()
    method = compat.ENQUEUE.name_in(worker)
    if kind is None or method is None:
        return
    shared: Callable[..., None] = getattr(worker, method)
    own: Callable[..., None] = getattr(kind(), method)

    def enqueue(*args: Any, **kwargs: Any) -> None:
        (own if _running_loop() is loop else shared)(*args, **kwargs)

    setattr(worker, method, enqueue)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
