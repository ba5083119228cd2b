"""Runs of every shape, many at once, while a fixed share of all attempts fails.

Afterwards: every run has ended with an answer or with one of our errors; run by run, the tokens of its trace are those
that the server counted for its question, and so is the money; no task, thread or connection is left, and memory has not
grown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import litellm

import composite_llm
from composite_llm.model.errors import CompositeError
from soak.asking import MODELS, PRICE, Storm, request, scenarios, streamed
from soak.gauge import settled
from soak.report import Report

RUNS_OF_A_PART = 250
"""The storm has at least four parts; between them everything is counted."""


async def blow(storm: Storm, limit_s: float, tell: Callable[[str], None]) -> Report:
    """The whole storm, and what it left; `tell` hears how far it is.

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
    report = Report(storm)
    began = time.monotonic()
    async with asyncio.timeout(limit_s), aiohttp.ClientSession(storm.url) as server:
        await _set_scenarios(server, storm)
        step = max(min(storm.runs // 4, RUNS_OF_A_PART), 1)
        for first in range(0, storm.runs, step):
            await _gust(report, range(first, min(first + step, storm.runs)))
            report.accounts.close(await _ledger(server))
            report.gauges.append(await settled(server))
            report.seconds = time.monotonic() - began
            tell(f"{min(first + step, storm.runs)} of {storm.runs} runs, {report.seconds:.0f} s: {report.gauges[-1]}")
        await litellm.close_litellm_async_clients()  # type: ignore[no-untyped-call]
        report.closed = await settled(server)
    return report


async def _set_scenarios(server: aiohttp.ClientSession, storm: Storm) -> None:
    for name, scenario in scenarios(storm).items():
        async with server.put(f"/scenarios/{name}", json=scenario) as response:
            response.raise_for_status()


async def _ledger(server: aiohttp.ClientSession) -> list[dict[str, Any]]:
    """What the server has counted since the last time, once it has nothing to answer any more."""
    while True:
        async with server.get("/ledger") as response:
            records: list[dict[str, Any]] = await response.json()
        if all(record["finished_at"] is not None for record in records):
            break
        await asyncio.sleep(0.05)
    async with server.delete("/ledger") as response:
        response.raise_for_status()
    return records


async def _gust(report: Report, numbers: range) -> None:
    """So many runs, each as soon as another has ended."""
    waiting = iter(numbers)

    async def worker() -> None:
        for number in waiting:
            await _run(report, number)

    await asyncio.gather(*(worker() for _ in range(min(report.storm.at_once, len(numbers)))))


async def _run(report: Report, number: int) -> None:
    source: Any = None
    name = "answered"
    try:
        source = await litellm.acompletion(**request(report.storm, number))
        if streamed(number):
            async for _ in source:
                pass
    except Exception as error:  # noqa: BLE001  # what kind it is, is the question
        # LiteLLM wraps what a client may retry when a stream raises it.
        own = getattr(error, "original_exception", None) or error
        name = type(own).__name__
        if not isinstance(own, CompositeError):
            report.unexpected.append(f"run {number} ended with {name}: {own}")
        source = source if source is not None else own
    report.outcomes[name] += 1
    report.accounts.run(number, composite_llm.get_trace(source))
