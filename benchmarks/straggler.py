"""What one hanging member costs: `python -m benchmarks.straggler`.

Four proposers, one of them never answers; a quorum of 3 and half a second of grace. The ideal is the slowest of the
three that answer, the grace, and the final call; what is measured on top is this library, LiteLLM and the wire.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from typing import Any

# LiteLLM reads it when it is imported; without it the import fetches a price list.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

MEMBER_S, FINAL_S, GRACE_S = 1.0, 1.0, 0.5
QUORUM = 3
MOST = 1.05


async def answer_s(url: str, **more: Any) -> float:
    """Seconds until the answer."""
    import litellm

    began = time.perf_counter()
    await litellm.acompletion(
        model="composite/moa/openai/final",
        messages=[{"role": "user", "content": "Which bridge is the oldest?"}],
        proposers=[f"openai/{name}" for name in ("quick-1", "quick-2", "quick-3", "hangs")],
        quorum=QUORUM,
        straggler_grace_s=GRACE_S,
        api_base=f"{url}/v1",
        api_key="sk-benchmark",
        **more,
    )
    return time.perf_counter() - began


async def measure(url: str, rounds: int) -> list[float]:
    """Seconds of so many answers; the first one, which warms up, is not among them."""
    import aiohttp

    import composite_llm

    composite_llm.register(config={})
    scenarios: dict[str, dict[str, Any]] = {"hangs": {"hang": True}, "final": {"latency_s": FINAL_S}}
    scenarios |= {f"quick-{number}": {"latency_s": MEMBER_S} for number in (1, 2, 3)}
    async with aiohttp.ClientSession(url) as server:
        for name, scenario in scenarios.items():
            async with server.put(f"/scenarios/{name}", json=scenario) as response:
                response.raise_for_status()
    return [await answer_s(url) for _ in range(rounds + 1)][1:]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit status is 1 when it takes too long."""
    parser = argparse.ArgumentParser(prog="benchmarks.straggler", description="One of four proposers hangs.")
    parser.add_argument("--rounds", type=int, default=5, help="answers to measure (%(default)s)")
    chosen = parser.parse_args(arguments)

    from fake_server.load import server_process

    with server_process() as url:
        seconds = asyncio.run(measure(url, chosen.rounds))
    ideal = MEMBER_S + GRACE_S + FINAL_S
    ratio = statistics.median(seconds) / ideal
    print(f"ideal {ideal:.3f} s, median of {len(seconds)}: {statistics.median(seconds):.3f} s, ratio {ratio:.3f}")
    print(f"all: {', '.join(f'{value:.3f}' for value in seconds)} s; at most {MOST} of the ideal is the aim")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
