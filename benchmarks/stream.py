"""Streams: how soon something is seen, how soon the answer starts, and what a streamed token costs in CPU."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Row, Upstream, main

PROPOSERS = (1, 4, 16)
LATENCY_S = 0.2
RUNS = 9
ROUNDS = 7
LONG, SHORT = 1500, 20
QUESTION = [{"role": "user", "content": "Why?"}]


async def measure(upstream: Upstream) -> list[Row]:
    """All figures of streams."""
    rows = []
    for proposers in PROPOSERS:
        rows += await _times(upstream, proposers)
    return [*rows, *await _cpu(upstream)]


async def _times(upstream: Upstream, proposers: int) -> list[Row]:
    upstream.play("*", {"text": "A proposal.", "latency_s": LATENCY_S})
    upstream.play("gpt-4o", {"text": "The answer.", "latency_s": LATENCY_S})
    members = [f"openai/gpt-4o-mini-{number}" for number in range(proposers)]
    ideal = 2 * LATENCY_S
    ours, by_hand = [], []
    for _ in range(RUNS + 1):
        ours.append(await _composite_times(upstream, members))
        by_hand.append(await _times_by_hand(upstream, members))
        upstream.claim(2 * (proposers + 1))
    # The first run of each warms up connections and imports.
    del ours[0], by_hand[0]
    name = f"{proposers} proposer{'s' if proposers > 1 else ''}"
    first = statistics.median(times.first_delta for times in ours)
    return [
        Row(f"first delta, {name}", 1e3 * first, "ms", 20),
        Row(f"first answer token / ideal, {name}", _median_answer(ours) / ideal, "ratio", 1.05),
        Row(f"the same calls by hand / ideal, {name}", _median_answer(by_hand) / ideal, "ratio"),
        Row(f"CPU until the first answer token, {name}", 1e3 * min(times.cpu for times in ours), "ms"),
        Row(f"CPU of the same by hand, {name}", 1e3 * min(times.cpu for times in by_hand), "ms"),
    ]


@dataclass(frozen=True)
class _Times:
    """Seconds; the CPU until the first answer token."""

    first_delta: float
    answer: float
    cpu: float


def _median_answer(runs: list[_Times]) -> float:
    return statistics.median(times.answer for times in runs)


async def _composite_times(upstream: Upstream, members: list[str]) -> _Times:
    import litellm

    clock = _Clock()
    stream: Any = await litellm.acompletion(
        model="composite/moa/openai/gpt-4o", proposers=members, messages=QUESTION, stream=True, **upstream.options
    )
    return await clock.read(stream)


async def _times_by_hand(upstream: Upstream, members: list[str]) -> _Times:
    import litellm

    clock = _Clock()
    await asyncio.gather(
        *(litellm.acompletion(model=member, messages=QUESTION, **upstream.options) for member in members)
    )
    stream: Any = await litellm.acompletion(model="openai/gpt-4o", messages=QUESTION, stream=True, **upstream.options)
    return await clock.read(stream)


class _Clock:
    """Starts when made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    async def read(self, stream: Any) -> _Times:
        """Read a stream to its end; when its first delta and its first answer token came."""
        first = answer = cpu = 0.0
        async for chunk in stream:
            first = first or time.perf_counter() - self._wall
            if not answer and chunk.choices and chunk.choices[0].delta.content:
                answer, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return _Times(first, answer, cpu)


async def _cpu(upstream: Upstream) -> list[Row]:
    _offer_a_bare_provider()
    # Every piece of text another one: LiteLLM ends a stream that repeats itself.
    for model, tokens in (("gpt-4o", LONG), ("gpt-4.1", SHORT)):
        upstream.play(model, {"text": "".join(f"{number:03x} " for number in range(tokens))})
    upstream.play("gpt-4o-mini", {"text": "A proposal."})
    composite = {"proposers": ["openai/gpt-4o-mini"]}
    kinds: dict[str, tuple[str, dict[str, Any], int]] = {
        "LiteLLM alone": ("", {}, 1),
        "a bare custom provider that passes LiteLLM's stream on": ("bare/", {}, 1),
        "a composite, reasoning off": ("composite/moa/", {**composite, "reasoning": "off"}, 2),
        "a composite": ("composite/moa/", composite, 2),
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS + 1):
        for name, (prefix, options, calls) in kinds.items():
            long = await _cpu_of(upstream, f"{prefix}openai/gpt-4o", options)
            short = await _cpu_of(upstream, f"{prefix}openai/gpt-4.1", options)
            upstream.claim(2 * calls)
            found[name].append(1e3 * (long - short) / (LONG - SHORT))
    alone = min(found["LiteLLM alone"][1:])
    rows = [
        Row(f"CPU of a streamed token, {name}", min(values[1:]), "ms", 0.35 if name == "a composite" else None)
        for name, values in found.items()
    ]
    return [
        *rows,
        Row("CPU of a streamed token, composite / LiteLLM alone", rows[-1].value / alone, "ratio", 0.35 / 0.27),
    ]


async def _cpu_of(upstream: Upstream, model: str, options: dict[str, Any]) -> float:
    import litellm

    started = time.process_time()
    stream: Any = await litellm.acompletion(model=model, messages=QUESTION, stream=True, **options, **upstream.options)
    async for _ in stream:
        pass
    return time.process_time() - started


def _offer_a_bare_provider() -> None:
    import litellm
    from litellm.utils import custom_llm_setup

    class Bare(litellm.CustomLLM):
        def astreaming(self, **kwargs: Any) -> AsyncGenerator[Any, None]:  # type: ignore[override]
            return self._chunks(kwargs)

        async def _chunks(self, kwargs: dict[str, Any]) -> AsyncGenerator[Any, None]:
            stream: Any = await litellm.acompletion(
                model=kwargs["model"],
                messages=kwargs["messages"],
                api_base=kwargs["api_base"],
                api_key=kwargs["api_key"],
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                yield chunk

    litellm.custom_provider_map = [*litellm.custom_provider_map, {"provider": "bare", "custom_handler": Bare()}]
    custom_llm_setup()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main("stream", measure)
