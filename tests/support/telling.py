"""Runs told to an observer as a run tells them, without one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from composite_llm.model.events import CallDone
from composite_llm.model.trace import Attempt, Call, Trace
from composite_llm.model.usage import Usage, total_cost, total_usage
from composite_llm.observe.observer import Observer, RunInfo

USAGE = Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15)


def a_call(number: int = 1, model: str = "openai/gpt-4o", *, cost_usd: float | None = 0.25, **more: Any) -> Call:
    """A call of one attempt."""
    status, error = more.get("status", "ok"), more.get("error")
    attempt = Attempt(
        model=model, start_s=0.0, duration_s=1.0, status=status, error=error, usage=USAGE, cost_usd=cost_usd
    )
    values: dict[str, Any] = {
        "id": f"call-{number}", "stage": "propose", "role": "proposer", "name": model, "model": model, "start_s": 0.0,
        "duration_s": 1.0, "status": "ok", "content": f"answer {number}", "attempts": [attempt], "usage": USAGE,
        "cost_usd": cost_usd, **more,
    }  # fmt: skip
    return Call(**values)


def a_trace(calls: Sequence[Call] | None = None, **more: Any) -> Trace:
    """A run of these calls that began now; one call if none are given."""
    made = [a_call()] if calls is None else list(calls)
    values: dict[str, Any] = {
        "id": uuid.uuid4().hex, "strategy": "moa", "model": "composite/moa/openai/gpt-4o",
        "started_at": datetime.now(UTC), "duration_s": 2.0, "calls": made,
        "usage": total_usage(call.usage for call in made), "cost_usd": total_cost(call.cost_usd for call in made), **more,
    }  # fmt: skip
    return Trace(**values)


def info(trace: Trace, metadata: Mapping[str, Any] | None = None, **more: Any) -> RunInfo:
    """What is told of a run at its start."""
    return RunInfo(trace.id, trace.strategy, trace.model, metadata=metadata or {}, **more)


def tell(observer: Observer, trace: Trace, metadata: Mapping[str, Any] | None = None, **more: Any) -> Trace:
    """A whole run: start, each call, end."""
    run = info(trace, metadata, **more)
    observer.run_started(run)
    for call in trace.calls:
        tell_call(observer, run, call)
    observer.run_ended(run, trace)
    return trace


def tell_call(observer: Observer, run: RunInfo, call: Call) -> None:
    """One call is done."""
    observer.run_event(run, CallDone(call, call.usage, call.cost_usd))
