"""What is alive in this process, and how many connections the server sees."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from dataclasses import dataclass

import aiohttp


@dataclass(frozen=True)
class Gauge:
    """What is alive at one moment.

    Attributes:
        tasks: Of this event loop.
        threads: Of this process.
        pooled: Those of them that wait in anyio's and asyncio's pools, which come and go.
        connections: That the server has open, the gauge's own among them.
        memory_mb: Of this process; 0 where the system does not tell.
    """

    tasks: int
    threads: int
    pooled: int
    connections: int
    memory_mb: float

    def __str__(self) -> str:
        return f"{self.tasks} tasks, {self.threads} threads, {self.connections} connections, {self.memory_mb:.0f} MB"


async def settled(server: aiohttp.ClientSession) -> Gauge:
    """What is alive once nobody asks any more; LiteLLM reports in the background for a moment."""
    gauge = await _gauge(server)
    for _ in range(20):
        await asyncio.sleep(0.1)
        before, gauge = gauge, await _gauge(server)
        if before.tasks == gauge.tasks and before.connections == gauge.connections:
            break
    return gauge


async def _gauge(server: aiohttp.ClientSession) -> Gauge:
    async with server.get("/stats") as response:
        stats = await response.json()
    gc.collect()
    return Gauge(
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        pooled=sum(thread.name.startswith(_POOLED) for thread in threading.enumerate()),
        connections=stats["open_connections"],
        memory_mb=_memory_mb(),
    )


_POOLED = ("AnyIO worker thread", "asyncio_")


def _memory_mb() -> float:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0
