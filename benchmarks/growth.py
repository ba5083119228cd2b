"""How the CPU of a composite grows: `python -m benchmarks.growth`.

With the number of members, the length of the answers, the length of the conversation and the number of layers; once
through LiteLLM against the fake server without latency, and once with a backend that answers at once, which leaves
this library's own work. The exponent is that of a power law through the largest three of each series: 1 is linear.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, Upstream, main
from benchmarks.instant import instant_run

ROUNDS = 5
REACH = 1.15
"""Linear, and what is measured on a busy machine scatters."""
PLOT = Path(__file__).parent / "plots" / "growth.png"
MEMBER, FINAL = "openai/gpt-4o-mini", "openai/gpt-4o"
SENTENCE = "The old bridge was repaired in {} with granite from quarry number {}, say the records. "


@dataclass(frozen=True)
class Size:
    """One point of a series: what is asked, and how many attempts that takes."""

    at: int
    options: dict[str, Any]
    attempts: int
    model: str = f"composite/moa/{FINAL}"
    answer: str = "It is the old bridge."
    turns: int = 1


@dataclass
class Series:
    """A figure that grows with one thing.

    Attributes:
        what: What grows.
        sizes: From small to large.
        seconds: Median CPU seconds by place, for each way.
    """

    what: str
    sizes: Sequence[Size]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def exponent(self, way: str) -> float:
        """The slope through the largest three, on paper with two logarithmic scales: there it is growth that costs."""
        sizes = [math.log(size.at) for size in self.sizes[-3:]]
        slope, _ = statistics.linear_regression(sizes, [math.log(seconds) for seconds in self.seconds[way][-3:]])
        return slope


def prose(characters: int) -> str:
    """Text that a tokenizer finds no shortcut in."""
    sentences = (SENTENCE.format(1000 + number % 1000, number) for number in range(characters // 80 + 1))
    return "".join(sentences)[:characters]


_conversations = itertools.count(1)


def conversation(turns: int) -> list[dict[str, Any]]:
    """So many questions, each but the last with its answer; no two conversations share a message."""
    told = f"Conversation {next(_conversations)}. {prose(400)}"
    pairs = [
        {"role": role, "content": f"{number}: {told}"} for number in range(turns - 1) for role in ("user", "assistant")
    ]
    return [*pairs, {"role": "user", "content": "Which bridge is the oldest?"}]


def all_series() -> list[Series]:
    """The five that are measured."""
    four = [MEMBER] * 4
    return [
        Series("proposers", [Size(n, {"proposers": [MEMBER] * n}, n + 1) for n in (1, 4, 16, 32, 64, 128)]),
        Series(
            "council members, 3 reviewers",
            [
                Size(
                    n,
                    {"members": [MEMBER] * n, "reviewers": [MEMBER] * 3},
                    n + 4,
                    model=f"composite/council/{FINAL}",
                    answer='{"ranking": ["A", "B"]}',
                )
                for n in (2, 4, 8, 16, 26)
            ],
        ),
        Series(
            "characters of each answer",
            [Size(n, {"proposers": four}, 5, answer=prose(n)) for n in (1_000, 8_000, 64_000, 256_000, 1_000_000)],
        ),
        Series(
            "turns of the conversation", [Size(n, {"proposers": four}, 5, turns=n) for n in (1, 8, 64, 250, 350, 500)]
        ),
        Series("layers", [Size(n, {"proposers": four, "layers": n}, 4 * n + 1) for n in (1, 2, 4, 8)]),
    ]


async def measure(upstream: Upstream) -> list[Row]:
    """Every size in each of some rounds, one after the other, so that the machine's moods meet all of them."""
    series = all_series()
    ways: dict[str, Callable[[Size], Awaitable[None]]] = {
        "through LiteLLM": lambda size: _through_litellm(upstream, size),
        "ours alone": _ours_alone,
    }
    for one in series:
        for way, ask in ways.items():
            one.seconds[way] = await _medians(upstream, one.sizes, ask)
    _draw(series)
    return [row for one in series for way in ways for row in _rows(one, way)]


def _rows(series: Series, way: str) -> list[Row]:
    small, large = series.sizes[0].at, series.sizes[-1].at
    first, last = series.seconds[way][0], series.seconds[way][-1]
    return [
        Row(f"{series.what}, {way}: CPU at {small:,}", first * 1000, "ms"),
        Row(f"{series.what}, {way}: CPU at {large:,}", last * 1000, "ms"),
        Row(f"{series.what}, {way}: exponent", series.exponent(way), "", REACH),
    ]


async def _medians(upstream: Upstream, sizes: Sequence[Size], ask: Callable[[Size], Awaitable[None]]) -> list[float]:
    seconds: list[list[float]] = [[] for _ in sizes]
    for round_number in range(ROUNDS + 1):
        for place, size in enumerate(sizes):
            for name in (MEMBER, FINAL):
                upstream.play(name.partition("/")[2], {"text": size.answer})
            began = time.process_time()
            await ask(size)
            if round_number:  # the first warms up
                seconds[place].append(time.process_time() - began)
    return [statistics.median(times) for times in seconds]


async def _through_litellm(upstream: Upstream, size: Size) -> None:
    import litellm

    import composite_llm

    upstream.claim(size.attempts)
    response = await litellm.acompletion(
        model=size.model, messages=conversation(size.turns), **size.options, **upstream.options
    )
    made = sum(len(call.attempts) for call in composite_llm.get_trace(response).calls)
    assert made == size.attempts, f"{made} attempts instead of {size.attempts}"


async def _ours_alone(size: Size) -> None:
    asked = await instant_run(size.model, conversation(size.turns), size.answer, **size.options)
    assert asked == size.attempts, f"{asked} attempts instead of {size.attempts}"


def _draw(series: Sequence[Series]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(series), figsize=(4 * len(series), 3.6), layout="constrained")
    for panel, one in zip(panels, series, strict=True):
        sizes = [size.at for size in one.sizes]
        for way, seconds in one.seconds.items():
            label = f"{way}, exponent {one.exponent(way):.2f}"
            panel.loglog(sizes, [second * 1000 for second in seconds], "o-", label=label)
        top = max(seconds[-1] for seconds in one.seconds.values()) * 1000
        panel.loglog(sizes, [top * size / sizes[-1] for size in sizes], ":", color="gray", label="linear")
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
        panel.minorticks_off()
        panel.set(xlabel=one.what, ylabel="ms of CPU per composite")
        panel.legend(fontsize=7)
        panel.grid(alpha=0.3)
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main("growth", measure)
