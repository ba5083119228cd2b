"""Five hundred streams, opened and abandoned at random points, leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import litellm
import pytest

import fake_server
from composite_llm.provider.portal import PORTAL
from fake_server import ThreadedServer
from tests.support.asking import FIRST
from tests.support.streams import asked_anew, close, eventually, request

ASYNC_STREAMS, SYNC_STREAMS = 350, 150
AT_ONCE = 20
WAYS = ("aclose", "drop", "cancel", "end")
SYNC_WAYS = ("close", "drop", "end")
POOLS = ("asyncio_", "ThreadPoolExecutor", "AnyIO worker", "litellm-logging")


async def _abandon(server: ThreadedServer, chunks: int, way: str, gate: asyncio.Semaphore) -> None:
    async with gate:
        stream: Any = await litellm.acompletion(**request(server, proposers=[FIRST], **asked_anew()), stream=True)
        if way == "cancel":
            reading = asyncio.create_task(_read(stream, 1000))
            await _turns(chunks * chunks)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            return
        await _read(stream, 1000 if way == "end" else chunks)
        if way == "aclose":
            await stream.aclose()


async def _turns(count: int) -> None:
    """Let the loop go round so many times: a random point that need not lie between two chunks."""
    for _ in range(count):
        await asyncio.sleep(0)


async def _read(stream: Any, chunks: int) -> None:
    for _ in range(chunks):
        if await anext(stream, None) is None:
            return


def _abandon_sync(server: ThreadedServer, chunks: int, way: str) -> None:
    stream: Any = litellm.completion(**request(server, proposers=[FIRST], **asked_anew()), stream=True)
    for _ in range(1000 if way == "end" else chunks):
        if next(stream, None) is None:
            break
    if way == "close":
        close(stream)


async def _tasks() -> list[str]:
    """What runs on this loop, LiteLLM's own log worker and the one that asks left out."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return [text for text in (repr(task.get_coro()) for task in tasks) if "Logging" not in text]


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith(POOLS)}


@pytest.fixture
def upstream() -> Iterator[ThreadedServer]:
    """A server of its own: the connections that are open on the session's are other tests' pools."""
    with fake_server.running_in_thread() as running:
        yield running


@pytest.mark.usefixtures("provider")
async def test_five_hundred_abandoned_streams_leave_no_task_no_thread_and_no_socket(upstream: ThreadedServer) -> None:
    server = upstream
    server.set_scenario("*", {"text": "So it is.", "latency_s": 0.002})
    server.set_scenario("gpt-4o", {"text": "".join(f"{n:03d} " for n in range(20)), "time_per_token_s": 0.0005})
    rng = random.Random(20261121)
    gate = asyncio.Semaphore(AT_ONCE)
    await _abandon(server, 0, "end", gate)
    await asyncio.to_thread(_abandon_sync, server, 0, "end")
    tasks_before, portal_before, threads_before = len(await _tasks()), len(PORTAL.call(_tasks)), _threads()

    points = [(rng.randrange(30), rng.choice(WAYS)) for _ in range(ASYNC_STREAMS)]
    await asyncio.gather(*(_abandon(server, chunks, way, gate) for chunks, way in points))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        points = [(rng.randrange(30), rng.choice(SYNC_WAYS)) for _ in range(SYNC_STREAMS)]
        done = [asyncio.wrap_future(pool.submit(_abandon_sync, server, chunks, way)) for chunks, way in points]
        await asyncio.gather(*done)
    gc.collect()

    await asyncio.to_thread(server.wait_until, lambda ledger: ledger.open_requests == 0)
    assert len(server.ledger.records) > 500
    assert any(record.disconnected for record in server.ledger.records)
    async with asyncio.timeout(5):
        while len(await _tasks()) > tasks_before:  # noqa: ASYNC110  # nobody tells of a task's end
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(eventually, lambda: len(PORTAL.call(_tasks)) <= portal_before)
    assert await asyncio.to_thread(eventually, lambda: _threads() <= threads_before), _threads() - threads_before
    # What is open now are the idle connections that a pool keeps for the next call: no more than were ever needed at once.
    assert server.stats()["open_connections"] <= 2 * 2 * AT_ONCE
