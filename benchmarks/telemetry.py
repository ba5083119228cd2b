"""What the telemetry store costs: its share of a run's CPU, on the request's path and in the writer's thread.

python -m benchmarks.telemetry
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, Upstream, main
from composite_llm.events import Event
from composite_llm.observe.observer import RunInfo
from composite_llm.observe.store.observer import StoreObserver
from composite_llm.observe.telemetry_settings import Privacy, TelemetrySettings
from composite_llm.trace import Trace

RUNS = 300
AT_ONCE = 4
QUESTION = [{"role": "user", "content": "Which bridge is the oldest? " * 20}]
PROPOSERS = ["openai/gpt-4o-mini", "openai/gpt-4.1-mini", "openai/gpt-4.1-nano"]
ANSWER = "The stone bridge over the old river is the oldest one that still carries traffic. " * 20


class Timed:
    """An observer, and the CPU that telling it takes."""

    def __init__(self, observer: StoreObserver) -> None:
        self._observer = observer
        self.cpu_s = 0.0

    def run_started(self, run: RunInfo) -> None:
        """As the observer."""
        began = time.thread_time()
        self._observer.run_started(run)
        self.cpu_s += time.thread_time() - began

    def run_event(self, run: RunInfo, event: Event) -> None:
        """As the observer."""
        began = time.thread_time()
        self._observer.run_event(run, event)
        self.cpu_s += time.thread_time() - began

    def run_ended(self, run: RunInfo, trace: Trace) -> None:
        """As the observer."""
        began = time.thread_time()
        self._observer.run_ended(run, trace)
        self.cpu_s += time.thread_time() - began


async def measure(upstream: Upstream) -> list[Row]:
    """Runs one after another, four at once, and with all contents kept."""
    upstream.play("*", {"text": ANSWER})
    rows: list[Row] = []
    settings: tuple[tuple[str, int, Privacy], ...] = (
        ("one at a time", 1, "metadata"),
        (f"{AT_ONCE} at once", AT_ONCE, "metadata"),
        (f"{AT_ONCE} at once, full", AT_ONCE, "full"),
    )
    await _runs(upstream, 20, 1)
    for name, at_once, privacy in settings:
        rows += await _measured(upstream, name, at_once, privacy)
    return rows


async def _measured(upstream: Upstream, name: str, at_once: int, privacy: Privacy) -> list[Row]:
    import composite_llm

    with tempfile.TemporaryDirectory() as directory:
        observer = StoreObserver(TelemetrySettings(path=Path(directory) / "traces.db", privacy=privacy))
        timed = Timed(observer)
        composite_llm.register(observers=[timed], telemetry=False)
        # The file is made, and its tables, before the clock runs.
        await _runs(upstream, 5, 1)
        observer.flush()
        writer, timed.cpu_s = _writer_clock(), 0.0
        began, writer_began = time.process_time(), time.clock_gettime(writer)
        await _runs(upstream, RUNS, at_once)
        observer.flush()
        whole_s, writing_s = time.process_time() - began, time.clock_gettime(writer) - writer_began
        observer.close()
        composite_llm.register(telemetry=False)
    share = (writing_s + timed.cpu_s) / whole_s
    return [
        Row(f"CPU of a run, {name}", 1e3 * whole_s / RUNS, "ms"),
        Row(f"of it on the request's path, {name}", 1e3 * timed.cpu_s / RUNS, "ms"),
        Row(f"of it in the writer's thread, {name}", 1e3 * writing_s / RUNS, "ms"),
        Row(f"telemetry's share of a run's CPU, {name}", 100 * share, "%", 3.0),
    ]


def _writer_clock() -> int:
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "composite_llm telemetry"]
    assert thread.ident is not None
    return time.pthread_getcpuclockid(thread.ident)


async def _runs(upstream: Upstream, count: int, at_once: int) -> None:
    import litellm

    waiting = iter(range(count))

    async def one_after_another() -> None:
        for _ in waiting:
            response: Any = await litellm.acompletion(
                model="composite/moa/openai/gpt-4o", proposers=PROPOSERS, messages=QUESTION, **upstream.options
            )
            assert response.choices[0].message.content

    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    upstream.claim(count * (len(PROPOSERS) + 1))


if __name__ == "__main__":
    main("telemetry", measure)
