"""A worker of LiteLLM's log for the loop of sync calls alone.

LiteLLM has one worker per process, which moves to whichever loop logs next and leaves its task and its queue behind on the
other: an application with a loop of its own, beside which a sync composite runs, was told of destroyed tasks and lost
callbacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

_METHOD = "ensure_initialized_and_enqueue"
"""Private, and the only way by which LiteLLM hands its worker anything. Where it is missing all loops share one worker."""


def give_own_log_worker(loop: asyncio.AbstractEventLoop) -> None:
    """What LiteLLM logs on this loop goes to a worker of this loop from now on."""
    try:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER, LoggingWorker

        shared: Callable[..., None] = getattr(GLOBAL_LOGGING_WORKER, _METHOD)
        own: Callable[..., None] = getattr(LoggingWorker(), _METHOD)
    except (ImportError, AttributeError, TypeError):
        return

    def enqueue(*args: Any, **kwargs: Any) -> None:
        (own if _running_loop() is loop else shared)(*args, **kwargs)

    setattr(GLOBAL_LOGGING_WORKER, _METHOD, enqueue)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
