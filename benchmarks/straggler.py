"""What one hanging member costs: `python -m benchmarks.straggler`.

Four proposers, one of them never answers; a quorum of 3 and half a second of grace. The ideal is the slowest of the
three that answer, the grace, and the final call; what is measured on top is this library, LiteLLM and the wire.
"""

from __future__ import annotations

import statistics
import time

from benchmarks.harness import Row, Upstream, main

MEMBER_S, FINAL_S, GRACE_S = 1.0, 1.0, 0.5
QUORUM = 3
ROUNDS = 10
QUICK = ("quick-1", "quick-2", "quick-3")
REACH = 1.05


async def measure(upstream: Upstream) -> list[Row]:
    """Median and slowest of ten answers, as a share of the ideal; one answer before them warms up."""
    upstream.play("hangs", {"hang": True})
    upstream.play("final", {"latency_s": FINAL_S})
    for name in QUICK:
        upstream.play(name, {"latency_s": MEMBER_S})
    seconds = [await _answer_s(upstream) for _ in range(ROUNDS + 1)][1:]
    ideal_s = MEMBER_S + GRACE_S + FINAL_S
    return [
        Row("ideal: slowest of three, grace, final call", ideal_s, "s"),
        Row(f"answer, median of {ROUNDS}", statistics.median(seconds), "s"),
        Row("median / ideal", statistics.median(seconds) / ideal_s, "ratio", REACH),
        Row("slowest / ideal", max(seconds) / ideal_s, "ratio", REACH),
    ]


async def _answer_s(upstream: Upstream) -> float:
    import litellm

    upstream.claim(len(QUICK) + 2)
    began = time.perf_counter()
    await litellm.acompletion(
        model="composite/moa/openai/final",
        messages=[{"role": "user", "content": "Which bridge is the oldest?"}],
        proposers=[f"openai/{name}" for name in (*QUICK, "hangs")],
        quorum=QUORUM,
        straggler_grace_s=GRACE_S,
        **upstream.options,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main("straggler", measure)
