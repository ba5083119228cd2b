"""Runs worth a picture, made in virtual time: what a picture has to show happens in them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from composite_llm.backend.interface import AttemptRequest
from composite_llm.model.errors import CompositeError
from composite_llm.model.trace import Trace
from composite_llm.model.usage import Usage
from tests.support.benches import Bench, bench
from tests.support.scripted_backend import Hang, Say, Script, asking_for, failing
from tests.support.virtual_time import run

_FENCED = re.compile(r"<<<(Response [A-Z]+) \w+>>>\n(.*?)\n<<<end of", re.DOTALL)
LONG = "One deployment and one database, but packages with narrow interfaces between them. " * 12


def traced(b: Bench, *, streamed: bool = False) -> Trace:
    """The trace of a run that may fail."""

    async def told() -> None:
        with contextlib.suppress(CompositeError):
            await (b.items() if streamed else b.text())

    run(told())
    return b.trace


@cache
def mixture() -> Trace:
    """A retry, a hedge, a fallback, a straggler, and a streamed answer."""
    script: Script = {
        "steady": Say(LONG, after=1.2, usage=_usage(412, 230, cached_tokens=300)),
        "patient": [
            failing(
                "rate_limited", "slow down", retry_after_s=1, after=0.2, status_code=429, error_class="RateLimitError"
            ),
            Say("Measure first.", after=1.4),
        ],
        "hedged": [Say("late", after=6), Say("early", after=1)],
        "down": failing("unavailable", "is down", after=0.3, status_code=503, error_class="ServiceUnavailableError"),
        "spare": Say("at your service", after=0.7),
        "straggler": Hang(),
        "chief": Say("Use |a |modular |monolith.", after=0.8, gap=0.15),
    }
    proposers = [
        "steady",
        "patient",
        {"model": "hedged", "hedge_after_s": 1.5},
        {"model": "down", "num_retries": 0, "fallbacks": ["spare"]},
        {"model": "straggler", "name": "the slow one"},
    ]
    b = bench("composite/moa/chief", script, proposers=proposers, quorum=4, straggler_grace_s=1)
    return traced(b, streamed=True)


@cache
def council() -> Trace:
    """Dissent, an abstention, and a chairman of unknown price."""
    script: Script = {
        "ant": _member("Split early.", ["cow", "bee", "elk", "fox", "dog"]),
        "bee": _member("Split late.", ["cow", "ant", "elk", "fox", "dog"]),
        "cow": _member(LONG, ["ant", "bee", "elk", "fox", "dog"]),
        "dog": _member("Never split.", ["ant", "cow", "bee", "elk", "fox"]),
        "elk": _member("Who knows.", None),
        "fox": _member("Ask again.", ["dog", "elk", "ant", "bee", "cow"]),
        "chair": Say("Split when you measure that you must.", after=1.5, cost_usd=None),
    }
    members = ["ant", "bee", "cow", "dog", "elk", "fox"]
    return traced(bench("composite/council/chair", script, members=members, seed=3))


@cache
def nested() -> Trace:
    """Composites within a composite, two deep."""
    script: Script = {"q": Say("alpha", after=1), "z": Say("zeta", after=2), "chief": Say("done", after=1)}
    proposers = [
        "z",
        {"model": "composite/council/q", "name": "inner council"},
        {"model": "composite/moa/composite/moa/q", "name": "deep one", "samples": 2},
    ]
    return traced(bench("composite/moa/chief", script, proposers=proposers))


@cache
def failed() -> Trace:
    """No answer: one member failed, one was cut off, one ran out of time."""
    script: Script = {
        "down": failing("unavailable", "is down", after=4, status_code=500, error_class="InternalServerError"),
        "slow": Hang(),
        "stuck": Hang(),
        "chief": "never asked",
    }
    slow = {"model": "slow", "timeout": 3, "num_retries": 0}
    return traced(bench("composite/moa/chief", script, proposers=["down", slow, "stuck"], quorum=2))


@cache
def with_tools() -> Trace:
    """Two tools at once, one of which fails."""

    async def execute(name: str, arguments: dict[str, Any]) -> Any:
        if arguments["query"] == "broken":
            raise ValueError("no such query")
        return {"hits": [{"title": "Backups"}]}

    script: Script = {
        "ant": Say("alpha", after=0.5),
        "chief": [
            asking_for(("c1", "search", '{"query": "backup"}'), ("c2", "search", '{"query": "broken"}'), after=0.7),
            Say("It is the network.", after=1),
        ],
    }
    tools = [{"type": "function", "function": {"name": "search"}}]
    return traced(bench("composite/moa/chief", script, proposers=["ant"], tools=tools, tool_executor=execute))


@cache
def reused() -> Trace:
    """The second step of a user turn."""
    told = with_tools()
    return told.model_copy(update={"reused": True, "calls": told.calls[-1:], "tool_calls": []})


ALL: dict[str, Callable[[], Trace]] = {
    "mixture": mixture,
    "council": council,
    "nested": nested,
    "failed": failed,
    "tools": with_tools,
    "reused": reused,
}


def _usage(prompt: int, completion: int, **more: int) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, **more)


def _member(answer: str, order: Sequence[str] | None) -> Callable[[AttemptRequest], Say]:
    """Answers, and reviews by ranking in this order of the answers' authors."""

    def step(request: AttemptRequest) -> Say:
        if request.metadata["composite_stage"] != "review":
            return Say(f"{request.model}: {answer}", after=1)
        if order is None:
            return Say("I would rather not rank these.")
        shown = {text.split(":")[0]: label for label, text in _FENCED.findall(str(request.messages[-1]["content"]))}
        return Say(json.dumps({"ranking": [shown[author] for author in order if author in shown]}), after=0.8)

    return step
