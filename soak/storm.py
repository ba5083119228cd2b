"""Runs of every shape, many at once, while a fixed share of all attempts fails.

Afterwards: every run has ended with an answer or with one of our errors; the tokens of all traces are, to the token,
those that the server counted, and so is the money; no task, thread or connection is left, and memory has not grown.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import litellm

import composite_llm
from composite_llm.errors import CompositeError

PRICE = 1e-6
"""US dollars for a token of every model here."""
NESTED = "composite/"
FAULTS: dict[str, dict[str, Any]] = {
    "broken": {"status": 500},
    "away": {"status": 503},
    "busy": {"status": 429, "retry_after": 0},
    "strict": {"status": 400},
    "gateway": {"status": 502},
}
MODELS = [f"openai/storm-{name}-{number}" for name in FAULTS for number in range(2)]
RUN_TIMEOUT_S = 1200.0
"""Never reached, however slow the machine: what the server answers to a call that was cut off, nobody is told."""
RUNS_OF_A_PART = 500
"""The storm has at least four parts; between them everything is counted."""
MEMORY_ALLOWANCE_MB = 30.0
"""Growth in the second half, when every cache is full."""


@dataclass(frozen=True)
class Storm:
    """What blows where.

    Attributes:
        url: The fake server's address.
        runs: How many runs.
        at_once: How many of them at a time.
        seed: Decides which attempts fail.
        rate: The share that does.
    """

    url: str
    runs: int
    at_once: int
    seed: int = 1
    rate: float = 0.2


@dataclass
class Gauge:
    """What is alive at one moment."""

    tasks: int
    threads: int
    connections: int
    memory_mb: float


@dataclass
class Report:
    """What came of it; `problems` is empty when all is well."""

    outcomes: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    traced_tokens: int = 0
    counted_tokens: int = 0
    traced_usd: float = 0.0
    attempts: int = 0
    requests: int = 0
    failed_requests: int = 0
    seconds: float = 0.0
    gauges: list[Gauge] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """For people."""
        runs = sum(self.outcomes.values())
        share = self.failed_requests / max(self.requests, 1)
        lines = [
            f"{runs} runs in {self.seconds:.1f} s ({runs / max(self.seconds, 1e-9):.0f} a second)",
            "  ended: " + ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common()),
            "  degraded: " + (", ".join(f"{count} {name}" for name, count in self.degraded.most_common()) or "none"),
            f"  requests: {self.requests}, {share:.1%} of them failed; attempts in traces: {self.attempts}",
            f"  tokens: {self.traced_tokens} in traces, {self.counted_tokens} in the ledger; ${self.traced_usd:.6f}",
        ]
        for name, gauge in (
            ("first", self.gauges[0]),
            ("half", self.gauges[len(self.gauges) // 2]),
            ("end", self.gauges[-1]),
        ):
            lines.append(
                f"  {name:>5}: {gauge.tasks} tasks, {gauge.threads} threads, {gauge.connections} connections, "
                f"{gauge.memory_mb:.0f} MB"
            )
        return "\n".join([*lines, *([f"WRONG: {problem}" for problem in self.problems] or ["  all is well"])])


async def blow(storm: Storm, limit_s: float) -> Report:
    """The whole storm, and what it left.

    Raises:
        TimeoutError: It did not end within its limit.
    """
    composite_llm.register(config={}, breaker={"open_s": 1.0})
    composite_llm.reset_breakers()
    entry = {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": PRICE,
        "output_cost_per_token": PRICE,
    }
    litellm.register_model({model: dict(entry) for model in MODELS})
    report = Report()
    began = time.monotonic()
    async with asyncio.timeout(limit_s), aiohttp.ClientSession(storm.url) as server:
        await _set_scenarios(server, storm)
        step = max(min(storm.runs // 4, RUNS_OF_A_PART), 1)
        for first in range(0, storm.runs, step):
            await _gust(storm, report, range(first, min(first + step, storm.runs)))
            await _count(server, report)
            report.gauges.append(await _settled(server))
        report.seconds = time.monotonic() - began
    _judge(storm, report)
    return report


async def _set_scenarios(server: aiohttp.ClientSession, storm: Storm) -> None:
    for number, (name, error) in enumerate(FAULTS.items()):
        scenario = {"error_rate": storm.rate, "seed": storm.seed + number, "error": error}
        async with server.put(f"/scenarios/storm-{name}-*", json=scenario) as response:
            response.raise_for_status()


async def _gust(storm: Storm, report: Report, numbers: range) -> None:
    """So many runs, each as soon as another has ended."""
    waiting = iter(numbers)

    async def worker() -> None:
        for number in waiting:
            await _run(storm, report, number)

    await asyncio.gather(*(worker() for _ in range(min(storm.at_once, len(numbers)))))


async def _run(storm: Storm, report: Report, number: int) -> None:
    source: Any = None
    try:
        source = await litellm.acompletion(**_request(storm, number))
        if number % 2:
            async for _ in source:
                pass
        name = "answered"
    except Exception as error:  # noqa: BLE001  # what kind it is, is the question
        # LiteLLM wraps what a client may retry when a stream raises it.
        own = getattr(error, "original_exception", None) or error
        name = type(own).__name__
        if not isinstance(own, CompositeError):
            report.problems.append(f"run {number} ended with {type(own).__name__}: {own}")
            report.outcomes[name] += 1
            return
        source = source if source is not None else own
    report.outcomes[name] += 1
    trace = composite_llm.get_trace(source)
    report.degraded.update(reason.partition(":")[0] for reason in trace.degraded)
    report.traced_tokens += trace.usage.total_tokens
    report.traced_usd += trace.cost_usd or 0.0
    for call in trace.calls:
        report.attempts += sum(
            attempt.error_class != "BreakerOpen" and not attempt.model.startswith(NESTED) for attempt in call.attempts
        )
        if any(attempt.status == "cancelled" for attempt in call.attempts):
            report.problems.append(f"run {number} left {call.name} as cancelled")


def _request(storm: Storm, number: int) -> dict[str, Any]:
    """A question of its own, so that no run uses what another was answered; shapes take turns."""
    chosen = [MODELS[(number * 7 + step * 3) % len(MODELS)] for step in range(4)]
    strategy, options = SHAPES[number % len(SHAPES)](chosen)
    connection = {"api_base": f"{storm.url}/v1", "api_key": "sk-soak"}
    for node in options.get("proposers", ()):
        if isinstance(node, dict) and node["model"].startswith(NESTED):
            node.update(connection)
    return {
        "model": f"composite/{strategy}/{chosen[0]}",
        "messages": [{"role": "user", "content": f"Question {number}: which bridge is the oldest?"}],
        "stream": bool(number % 2),
        **connection,
        **options,
    }


def _node(model: str, *fallbacks: str) -> dict[str, Any]:
    return {"model": model, "num_retries": 1, "fallbacks": list(fallbacks)}


Shape = Callable[[list[str]], tuple[str, dict[str, Any]]]
SHAPES: list[Shape] = [
    lambda m: ("moa", {"proposers": [_node(m[1]), _node(m[2]), _node(m[3])], "aggregator": {"fallbacks": [m[1]]}}),
    lambda m: ("moa", {"proposers": [_node(m[1], m[2]), m[3]], "layers": 2, "quorum": 2}),
    lambda m: ("council", {"members": [_node(m[1]), _node(m[2])], "on_final_failure": "best"}),
    lambda m: ("moa", {"samples": 2, "max_calls": 6}),
    lambda m: ("moa", {"proposers": [m[1], {"model": f"composite/council/{m[2]}", "members": [m[3], m[0]]}]}),
    lambda m: ("council", {"members": m[1:], "reviewers": [m[0]], "quorum": 2, "straggler_grace_s": 30}),
    lambda m: ("moa", {"proposers": m[1:], "max_parallel": 2, "timeout": RUN_TIMEOUT_S}),
]


async def _count(server: aiohttp.ClientSession, report: Report) -> None:
    """What the server has counted since the last time."""
    async with server.get("/ledger") as response:
        records = await response.json()
    async with server.delete("/ledger") as response:
        response.raise_for_status()
    report.requests += len(records)
    report.failed_requests += sum(record["status"] != 200 for record in records)
    report.counted_tokens += sum(record["usage"]["total_tokens"] for record in records if record["usage"])


async def _settled(server: aiohttp.ClientSession) -> Gauge:
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
        connections=stats["open_connections"],
        memory_mb=_memory_mb(),
    )


def _memory_mb() -> float:
    """Memory of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def _judge(storm: Storm, report: Report) -> None:
    first, half, end = report.gauges[0], report.gauges[len(report.gauges) // 2], report.gauges[-1]
    checks = {
        f"{sum(report.outcomes.values())} of {storm.runs} runs ended": sum(report.outcomes.values()) == storm.runs,
        "no run was answered": report.outcomes["answered"] > 0,
        f"{report.traced_tokens} tokens in traces, {report.counted_tokens} counted": (
            report.traced_tokens == report.counted_tokens
        ),
        f"{report.attempts} attempts in traces, {report.requests} requests": report.attempts == report.requests,
        f"${report.traced_usd:.6f} in traces": abs(report.traced_usd - report.counted_tokens * PRICE) < 1e-6,
        f"tasks grew from {first.tasks} to {end.tasks}": end.tasks <= first.tasks,
        f"threads grew from {half.threads} to {end.threads}": end.threads <= half.threads,
        # The pool keeps idle connections, never more than runs need at once.
        f"{end.connections} connections are open": end.connections <= max(first.connections, storm.at_once * 4),
        f"memory grew from {half.memory_mb:.0f} to {end.memory_mb:.0f} MB": (
            end.memory_mb - half.memory_mb <= MEMORY_ALLOWANCE_MB
        ),
    }
    report.problems += [text for text, holds in checks.items() if not holds]
