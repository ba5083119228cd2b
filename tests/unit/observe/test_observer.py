from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from composite_llm.model.errors import FinalCallFailed
from composite_llm.model.events import AttemptStarted, CallDone, Event, StageStarted
from composite_llm.model.trace import Trace
from composite_llm.observe.observer import Observers, RunInfo
from composite_llm.run import Services
from tests.support.benches import Bench, bench
from tests.support.scripted_backend import Hang, Say, Script, ScriptedBackend, ScriptedFacts, failing

MODEL = "composite/moa/chief"
SCRIPT: Script = {"a": Say("alpha", after=1), "chief": Say("The| answer", after=1)}


@dataclass
class Notebook:
    started: list[RunInfo] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ended: list[Trace] = field(default_factory=list)

    def run_started(self, run: RunInfo) -> None:
        self.started.append(run)

    def run_event(self, run: RunInfo, event: Event) -> None:
        self.events.append(event)

    def run_ended(self, run: RunInfo, trace: Trace) -> None:
        self.ended.append(trace)


class Broken:
    def run_started(self, run: RunInfo) -> None:
        raise RuntimeError("no room")

    def run_event(self, run: RunInfo, event: Event) -> None:
        raise RuntimeError("no room")

    def run_ended(self, run: RunInfo, trace: Trace) -> None:
        raise RuntimeError("no room")


def watched(script: Script, *observers: Any, **options: Any) -> Bench:
    services = Services(ScriptedBackend(script), ScriptedFacts(), observers=Observers(observers))
    return bench(MODEL, script, services=services, **options)


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_observer_is_told_the_start_each_event_and_the_end(streamed: bool) -> None:
    notebook = Notebook()
    b = watched(SCRIPT, notebook, proposers=["a"])
    await (b.items() if streamed else b.run.reply())
    (run,) = notebook.started
    assert (run.id, run.strategy, run.model, run.streamed) == (b.run.id, "moa", MODEL, streamed)
    assert [e.stage for e in notebook.events if isinstance(e, StageStarted)] == ["propose", "aggregate"]
    assert [e.call.name for e in notebook.events if isinstance(e, CallDone)] == ["a", "chief"]
    assert notebook.ended == [b.trace]


async def test_an_observer_is_told_each_attempt_when_it_leaves() -> None:
    notebook = Notebook()
    script: Script = {
        "a": [failing("unavailable"), Say("alpha")],
        "b": failing("rejected"),
        "c": Say("gamma"),
        "chief": Say("The answer"),
    }
    b = watched(script, notebook, proposers=["a", {"model": "b", "fallbacks": ["c"]}])
    await b.run.reply()
    told = [(e.stage, e.name, e.model, e.number) for e in notebook.events if isinstance(e, AttemptStarted)]
    assert sorted(told) == [
        ("aggregate", "chief", "chief", 1),
        ("propose", "a", "a", 1),
        ("propose", "a", "a", 2),
        ("propose", "b", "b", 1),
        ("propose", "b", "c", 2),
    ]
    calls = {call.id: call.name for call in b.trace.calls}
    assert all(calls[e.call_id] == e.name for e in notebook.events if isinstance(e, AttemptStarted))


async def test_a_failed_run_ends_with_its_error() -> None:
    notebook = Notebook()
    b = watched({**SCRIPT, "chief": failing("rejected")}, notebook, proposers=["a"])
    with pytest.raises(FinalCallFailed) as caught:
        await b.run.reply()
    assert [trace.error for trace in notebook.ended] == [caught.value.message]


async def test_a_cancelled_run_and_a_closed_stream_end_as_cancelled() -> None:
    notebook = Notebook()
    script: Script = {**SCRIPT, "a": Hang()}
    task = asyncio.create_task(watched(script, notebook, proposers=["a"]).run.reply())
    await asyncio.sleep(1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    stream = watched(SCRIPT, notebook, proposers=["a"]).run.items()
    await anext(stream)
    await stream.aclose()
    assert [trace.error for trace in notebook.ended] == ["cancelled", "cancelled"]


async def test_a_nested_run_is_part_of_the_run_around_it() -> None:
    notebook = Notebook()
    b = watched(SCRIPT, notebook, proposers=[{"model": "composite/moa/chief", "proposers": ["a"]}])
    await b.run.reply()
    assert len(notebook.started) == len(notebook.ended) == 1
    assert len(notebook.ended[0].calls) == 4


async def test_an_observer_that_fails_harms_neither_the_run_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    notebook = Notebook()
    b = watched(SCRIPT, Broken(), notebook, proposers=["a"])
    assert (await b.text() or "").replace("|", "") == "The answer"
    assert len(notebook.ended) == 1
    assert "Broken failed; the run goes on" in caplog.text
