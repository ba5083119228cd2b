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
from composite_llm.model.events import Event
from composite_llm.model.trace import Trace
from composite_llm.observe.observer import RunInfo
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import Privacy, TelemetrySettings

BLOCKS = 6
RUNS = 50
"""In each block; blocks with and without telemetry take turns, so that both see the same machine."""
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
        without, with_it = [], []
        told = written = whole = 0.0
        for block in range(BLOCKS + 1):
            composite_llm.register(telemetry=False)
            without.append(await _cpu_of_runs(upstream, at_once))
            composite_llm.register(observers=[timed], telemetry=False)
            timed.cpu_s, writing = 0.0, _WriterClock()
            with_it.append(await _cpu_of_runs(upstream, at_once, observer))
            # The first block makes the file and its tables.
            if block:
                told, written, whole = told + timed.cpu_s, written + writing.elapsed_s, whole + with_it[-1]
        observer.close()
    runs = BLOCKS * RUNS
    return [
        Row(f"CPU of a run without telemetry, {name}", 1e3 * min(without[1:]) / RUNS, "ms"),
        Row(f"CPU of a run with telemetry, {name}", 1e3 * min(with_it[1:]) / RUNS, "ms"),
        Row(f"of it on the request's path, {name}", 1e3 * told / runs, "ms"),
        Row(f"of it in the writer's thread, {name}", 1e3 * written / runs, "ms"),
        Row(f"both, as a share of a run's CPU, {name}", 100 * (told + written) / whole, "%", 3.0),
    ]


class _WriterClock:
    """The CPU of the writer's thread from now on; of one that is yet to start, from its start."""

    def __init__(self) -> None:
        self._began = self._now()

    @property
    def elapsed_s(self) -> float:
        """Until now."""
        return self._now() - self._began

    def _now(self) -> float:
        threads = [thread for thread in threading.enumerate() if thread.name == "composite_llm telemetry"]
        if not threads or threads[0].ident is None:
            return 0.0
        return time.clock_gettime(time.pthread_getcpuclockid(threads[0].ident))


async def _cpu_of_runs(upstream: Upstream, at_once: int, observer: StoreObserver | None = None) -> float:
    began = time.process_time()
    await _runs(upstream, RUNS, at_once)
    if observer is not None:
        observer.flush()
    return time.process_time() - began


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
