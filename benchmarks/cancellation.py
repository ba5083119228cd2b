"""How soon the end of a run ends its calls upstream: `python -m benchmarks.cancellation`.

Sixteen proposers never answer; the run is cancelled, or its stream closed or dropped. The clock starts there and stops
when the server has seen the last disconnect; how long it takes to ask the server is in the figure.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.harness import Row, Upstream, main

PROPOSERS = 16
ROUNDS = 10
REACH_MS = 100
End = Callable[[], Awaitable[None]]


async def measure(upstream: Upstream) -> list[Row]:
    """Median and slowest of ten, for each way to end; one of each before them warms up."""
    upstream.play("*", {"hang": True})
    ways = {
        "cancelled plain call": _cancelled_call,
        "closed stream": _closed_stream,
        "dropped sync stream": _dropped_sync_stream,
    }
    rows = []
    for name, begin in ways.items():
        took_ms = [await _ended_ms(upstream, begin) for _ in range(ROUNDS + 1)][1:]
        rows.append(Row(f"{name}, median of {ROUNDS}", statistics.median(took_ms), "ms", REACH_MS))
        rows.append(Row(f"{name}, slowest", max(took_ms), "ms", REACH_MS))
    return rows


async def _ended_ms(upstream: Upstream, begin: Callable[[dict[str, Any]], Awaitable[End]]) -> float:
    upstream.claim(PROPOSERS)
    proposers = [f"openai/member-{number}" for number in range(PROPOSERS)]
    question = [{"role": "user", "content": "Which bridge is the oldest?"}]
    end = await begin(
        {"model": "composite/moa/openai/final", "messages": question, "proposers": proposers, **upstream.options}
    )
    await _until_open(upstream, PROPOSERS)
    began = time.perf_counter()
    await end()
    await _until_open(upstream, 0)
    return 1e3 * (time.perf_counter() - began)


async def _until_open(upstream: Upstream, requests: int) -> None:
    while await asyncio.to_thread(upstream.open_requests) != requests:
        pass


async def _cancelled_call(request: dict[str, Any]) -> End:
    import litellm

    task = asyncio.create_task(litellm.acompletion(**request))

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    return end


async def _closed_stream(request: dict[str, Any]) -> End:
    import litellm

    stream: Any = await litellm.acompletion(**request, stream=True)
    await anext(stream)
    end: End = stream.aclose
    return end


async def _dropped_sync_stream(request: dict[str, Any]) -> End:
    import litellm

    held: list[Any] = [litellm.completion(**request, stream=True)]

    async def end() -> None:
        held.clear()

    return end


if __name__ == "__main__":
    main("cancellation", measure)
