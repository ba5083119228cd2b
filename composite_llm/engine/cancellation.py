"""Who is cancelled: a task of ours, or what it waits for."""

from __future__ import annotations

import asyncio


def being_cancelled() -> bool:
    """Whether the current task itself is to end, rather than something that it has started and cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
