"""How long an answer takes, against the models' own time: `python -m benchmarks.latency`."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from benchmarks.harness import Row, Upstream, main

LATENCY_S = 0.2
ROUNDS = 7
REACHES = {4: 1.05, 16: 1.15, 64: 1.45}

Ask = Callable[[], Awaitable[Any]]


async def measure(upstream: Upstream) -> list[Row]:
    """Mixtures of 4, 16 and 64 proposers, a council, and two ways to fail."""
    from benchmarks import rivals

    rivals.offer_naive()
    upstream.play("*", {"text": "An answer.", "latency_s": LATENCY_S})
    rows = []
    for count, reach in REACHES.items():
        ways: dict[str, Ask] = {
            "composite": partial(rivals.composite, upstream, count),
            "by hand": partial(rivals.by_hand, upstream, count),
            "naive provider": partial(rivals.naive, upstream, count),
            "composite, sync": partial(asyncio.to_thread, _sync, upstream, count),
            "composite, sync inside a running loop": partial(_inside, upstream, count),
        }
        for way, seconds in (await _interleaved(ways)).items():
            own = reach if way.startswith("composite") else None
            rows.append(Row(f"{count} proposers, {way} / ideal", seconds / (2 * LATENCY_S), "ratio", own))
    council = {
        "composite": partial(rivals.council, upstream, 4),
        "by hand": partial(rivals.council_by_hand, upstream, 4),
    }
    for way, seconds in (await _interleaved(council)).items():
        rows.append(Row(f"council 4/4/1, {way} / ideal", seconds / (3 * LATENCY_S), "ratio"))
    return rows + await _failing(upstream)


async def _interleaved(ways: dict[str, Ask]) -> dict[str, float]:
    """Median seconds of each way, asked in turn; the first turn warms up."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS + 1):
        for way, ask in ways.items():
            began = time.perf_counter()
            await ask()
            found[way].append(time.perf_counter() - began)
    return {way: statistics.median(seconds[1:]) for way, seconds in found.items()}


def _sync(upstream: Upstream, count: int) -> Any:
    import litellm

    from benchmarks.rivals import composite_call, members

    upstream.claim(count + 1)
    return litellm.completion(**composite_call(upstream, members(count)))


async def _inside(upstream: Upstream, count: int) -> Any:
    return _sync(upstream, count)


async def _failing(upstream: Upstream) -> list[Row]:
    """One of four proposers fails: the answer of the other three comes without waiting for anything."""
    from benchmarks import rivals

    upstream.play("broken", {"error": {"status": 500}})
    upstream.play("hangs", {"hang": True})
    others = rivals.members(3)
    cases: list[tuple[str, dict[str, Any], float]] = [
        ("answers 500, no retry", {"model": "openai/broken", "num_retries": 0}, 0.5),
        ("hangs, timeout=2, no retry", {"model": "openai/hangs", "num_retries": 0, "timeout": 2}, 2.3),
    ]
    rows = []
    for name, node, reach in cases:
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            await rivals.composite_of(upstream, [*others, node])
            seconds.append(time.perf_counter() - began)
        rows.append(Row(f"one of four {name}", statistics.median(seconds), "s", reach))
    return rows


if __name__ == "__main__":
    main("latency", measure)
