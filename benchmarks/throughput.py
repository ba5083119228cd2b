"""How many composites one event loop answers, and what they hold: `python -m benchmarks.throughput`."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, Upstream, main

LATENCY_S = 0.1
PROPOSERS = 4
LEVELS = {1: 20, 50: 300, 200: 600, 1000: 1000}
"""How many at once, and how many in all."""
ROUNDS = 3
REACHES = {50: 1.0, 200: 1.0}
IN_FLIGHT = 60
LONG_RUN = 20_000
GROWTH_MB = 30.0

Ask = Callable[[], Awaitable[Any]]


async def measure(upstream: Upstream) -> list[Row]:
    """What a run in flight holds, throughput and latency at each level beside the same calls by hand, growth of memory."""
    from benchmarks import rivals

    # First, before memory that was freed hides what is taken.
    rows = [await _in_flight(upstream)]
    upstream.play("*", {"text": "An answer of some words, as a model may write it.", "latency_s": LATENCY_S})
    ways: dict[str, Ask] = {
        "composite": partial(rivals.composite, upstream, PROPOSERS),
        "by hand": partial(rivals.by_hand, upstream, PROPOSERS),
    }
    for at_once, total in LEVELS.items():
        rows += await _level(ways, at_once, total)
    return rows + await _growth(upstream)


async def _level(ways: dict[str, Ask], at_once: int, total: int) -> list[Row]:
    rates: dict[str, list[float]] = {way: [] for way in ways}
    latencies: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, ask in ways.items():
            began = time.perf_counter()
            latencies[way] += await _drive(ask, at_once, total)
            rates[way].append(total / (time.perf_counter() - began))
    rows = []
    for way in ways:
        rows.append(Row(f"{at_once} at once, {way}", statistics.median(rates[way]), "/s"))
        ordered = sorted(latencies[way])
        rows += [
            Row(f"{at_once} at once, {way}, p{share}", 1e3 * ordered[len(ordered) * share // 100], "ms")
            for share in (50, 95, 99)
        ]
    ratios = [own / hand for own, hand in zip(rates["composite"], rates["by hand"], strict=True)]
    ratio = statistics.median(ratios)
    rows.append(
        Row(f"{at_once} at once, composite / by hand", ratio, "ratio", REACHES.get(at_once), more_is_better=True)
    )
    return rows


async def _drive(ask: Ask, at_once: int, total: int) -> list[float]:
    """Seconds of each of `total` questions, `at_once` of them under way."""
    left, seconds = iter(range(total)), []

    async def worker() -> None:
        for _ in left:
            began = time.perf_counter()
            await ask()
            seconds.append(time.perf_counter() - began)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return seconds


async def _in_flight(upstream: Upstream) -> Row:
    from benchmarks import rivals

    upstream.play("*", {"text": "An answer of some words, as a model may write it."})
    await _drive(partial(rivals.composite, upstream, PROPOSERS), 10, 100)
    upstream.play("*", {"text": "An answer of some words, as a model may write it.", "latency_s": 3})
    gc.unfreeze()
    gc.collect()
    before = _resident_mb()
    # LiteLLM has at most so many connections to one host.
    under_way = [asyncio.create_task(rivals.composite(upstream, PROPOSERS)) for _ in range(IN_FLIGHT)]
    while upstream.open_requests() < PROPOSERS * IN_FLIGHT:  # noqa: ASYNC110  # the server is another process
        await asyncio.sleep(0.05)
    held = (_resident_mb() - before) / IN_FLIGHT
    await asyncio.gather(*under_way)
    return Row("memory of a run in flight, LiteLLM's calls included", 1e3 * held, "KB")


async def _growth(upstream: Upstream) -> list[Row]:
    from benchmarks import rivals

    upstream.play("*", {"text": "Short."})
    one_proposer = partial(rivals.composite, upstream, 1)
    await _drive(one_proposer, 50, LONG_RUN // 2)
    gc.collect()
    half = _resident_mb()
    await _drive(one_proposer, 50, LONG_RUN // 2)
    gc.collect()
    return [
        Row(f"memory after {LONG_RUN // 2} more runs", half, "MB"),
        Row(f"memory after {LONG_RUN}, less that", _resident_mb() - half, "MB", GROWTH_MB),
    ]


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main("throughput", measure)
