"""Many jobs, so many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Job = TypeVar("Job")


async def do_all(
    jobs: Iterable[Job],
    do: Callable[[Job], Awaitable[bool]],
    *,
    max_parallel: int,
    stop: asyncio.Event | None = None,
) -> bool:
    """Do them in their order, so many at once.

    Args:
        jobs: Taken one by one, when there is room.
        do: Does one; False when no further job may be begun.
        max_parallel: How many at once.
        stop: Once it is set no further job is begun; those that have begun are done.

    Returns:
        Whether all of them were done.
    """
    rest = iter(jobs)
    stopped = False

    async def work() -> None:
        nonlocal stopped
        for job in rest:
            if stopped or (stop is not None and stop.is_set()):
                stopped = True
                return
            if not await do(job):
                stopped = True

    async with asyncio.TaskGroup() as group:
        for _ in range(max_parallel):
            group.create_task(work())
    return not stopped
