"""What a composite costs in CPU beside the same calls by other means: `python -m benchmarks.cpu`.

User and system time of this process, with an upstream that answers at once in a process of its own.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp

from benchmarks.harness import Row, Upstream, main

ROUNDS = 9
TIMES = 10
SIZES = (1, 4, 16)
REACH_MOA, REACH_COUNCIL, REACH_OWN = 1.05, 1.03, 0.08

Ask = Callable[[], Awaitable[Any]]


async def measure(upstream: Upstream) -> list[Row]:
    """Milliseconds per question of each way, and their ratios to the calls by hand, round by round."""
    from benchmarks import rivals

    rivals.offer_naive()
    upstream.play("*", {"text": "An answer of some words, as a model may write it."})
    rows = []
    async with aiohttp.ClientSession() as session:
        for size in SIZES:
            ways: dict[str, Ask] = {
                "by hand": partial(rivals.by_hand, upstream, size),
                "composite": partial(rivals.composite, upstream, size),
                "naive provider": partial(rivals.naive, upstream, size),
                "raw aiohttp": partial(rivals.over_aiohttp, session, upstream, size),
            }
            rows += await _rows(f"{size} proposers", ways, REACH_MOA if size == 4 else None)
    council: dict[str, Ask] = {
        "by hand": partial(rivals.council_by_hand, upstream, 4),
        "composite": partial(rivals.council, upstream, 4),
    }
    rows += await _rows("council 4/4/1", council, REACH_COUNCIL)
    rows.append(
        Row("our own frames' share of the profile, 4 proposers", await _own_share(upstream), "ratio", REACH_OWN)
    )
    return rows


async def _rows(name: str, ways: dict[str, Ask], reach: float | None) -> list[Row]:
    found = await _interleaved(ways)
    rows = []
    for way, spent in found.items():
        rows.append(Row(f"{name}, {way}", 1e3 * statistics.median(spent), "ms"))
        if way != "by hand":
            ratio = statistics.median(own / hand for own, hand in zip(spent, found["by hand"], strict=True))
            own_reach = reach if way == "composite" else None
            rows.append(Row(f"{name}, {way} / by hand", ratio, "ratio", own_reach))
    return rows


async def _interleaved(ways: dict[str, Ask]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(ROUNDS + 1):
        for way, ask in ways.items():
            began = time.process_time()
            for _ in range(TIMES):
                await ask()
            # The first turn warms up.
            if turn:
                found[way].append((time.process_time() - began) / TIMES)
    return found


async def _own_share(upstream: Upstream) -> float:
    """Share of the profile's time spent in this library's frames; waiting for the network is left out."""
    from benchmarks import rivals

    profile = cProfile.Profile()
    profile.enable()
    for _ in range(50):
        await rivals.composite(upstream, 4)
    profile.disable()
    total = own = 0.0
    stats: Any = pstats.Stats(profile)
    for (file, _, name), (_, _, seconds, _, _) in stats.stats.items():
        if "epoll" not in name:
            total += seconds
            own += seconds if "/composite_llm/" in file else 0.0
    return own / total


if __name__ == "__main__":
    main("cpu", measure)
