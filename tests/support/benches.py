"""A run, or one call of a run, on a scripted backend."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from composite_llm.backend.interface import Backend, Chunk, Message, ModelFacts, Reply
from composite_llm.config.node import Node
from composite_llm.config.plan import make_plan
from composite_llm.config.profiles import Profiles, load_profiles
from composite_llm.engine.budget import Budget
from composite_llm.engine.recorder import Recorder
from composite_llm.engine.scope import Scope
from composite_llm.engine.subcall_request import SubcallRequest
from composite_llm.model.events import Event
from composite_llm.model.messages import checked_messages
from composite_llm.model.summary import event_text
from composite_llm.model.trace import Call, Trace
from composite_llm.run import Caller, Item, Run, Services, SharedLimits
from tests.support.scripted_backend import Script, ScriptedBackend, ScriptedFacts

QUESTION: list[Message] = [{"role": "user", "content": "Why is the sky blue?"}]


@dataclass(slots=True)
class Bench:
    """One run and the backend that it asks."""

    run: Run
    backend: ScriptedBackend
    services: Services

    @property
    def trace(self) -> Trace:
        """What the run has done."""
        trace = self.run.trace
        assert trace is not None
        return trace

    async def text(self) -> str | None:
        """The plain run's answer."""
        content: str | None = (await self.run.reply()).message["content"]
        return content

    async def items(self) -> list[Item]:
        """The streamed run's items."""
        return [item async for item in self.run.items()]


def bench(
    model: str,
    script: Script,
    messages: Any = QUESTION,
    *,
    timeout_s: float | None = None,
    profiles: Mapping[str, Any] | None = None,
    facts: ModelFacts | None = None,
    tool_executors: Mapping[str, Any] | None = None,
    services: Services | None = None,
    shared: SharedLimits | None = None,
    operators_timeout_s: float | None = None,
    given: Mapping[str, Any] | None = None,
    **options: Any,
) -> Bench:
    """A run of `model` with these options against this script, or against the backend of `services`."""
    loaded = load_profiles(profiles) if profiles is not None else Profiles()
    if services is None:
        services = Services(ScriptedBackend(script), facts or ScriptedFacts(), loaded, tool_executors or {})
    backend = services.backend
    assert isinstance(backend, ScriptedBackend)
    plan = make_plan(model, {**(given or {}), **options}, loaded)
    caller = Caller(timeout_s=timeout_s, shared=shared, operators_timeout_s=operators_timeout_s)
    return Bench(Run(plan, checked_messages(messages), services, caller), backend, services)


def streamed_text(items: Sequence[Item], key: str = "content") -> str:
    """What the chunks of a streamed run say."""
    pieces = [choice.delta.get(key) for item in items if isinstance(item, Chunk) for choice in item.choices]
    return "".join(piece for piece in pieces if piece)


def told(items: Sequence[Item]) -> list[str]:
    """The lines that the events of a streamed run say."""
    texts = [event_text(item) for item in items if not isinstance(item, Chunk | Reply)]
    return [line for text in texts if text for line in text.splitlines()]


def call_named(trace: Trace, name: str, stage: str | None = None) -> Call:
    """The one call of that name."""
    (call,) = [call for call in trace.calls if call.name == name and stage in (None, call.stage)]
    return call


@dataclass(slots=True)
class Desk:
    """A scope with its backend and what it was told."""

    backend: ScriptedBackend
    scope: Scope
    events: list[Event] = field(default_factory=list)

    def trace(self) -> Trace:
        """The record until now."""
        return self.scope.recorder.trace("moa", "composite/moa/x")


def desk(script: Script, *, facts: ModelFacts | None = None, budget: Budget | None = None, **more: Any) -> Desk:
    """A scope of its own, inside a running loop."""
    backend = ScriptedBackend(script)
    events: list[Event] = []
    recorder = Recorder("run-1")
    if (timeout_s := more.pop("timeout_s", None)) is not None:
        more["deadline"] = recorder.clock() + timeout_s
    checked: Backend = backend
    scope = Scope(
        backend=checked,
        facts=facts or ScriptedFacts(),
        recorder=recorder,
        budget=budget or Budget(),
        secret="c0de",
        emit=events.append,
        **more,
    )
    return Desk(backend, scope, events)


def subcall(node: Any, **more: Any) -> SubcallRequest:
    """One answer wanted of a node."""
    made = Node.model_validate(node)
    chosen: dict[str, Any] = {"stage": "propose", "role": "proposer", "name": made.label, "messages": QUESTION, **more}
    return SubcallRequest(node=made, **chosen)


async def collected(items: AsyncGenerator[Chunk | Reply, None]) -> tuple[str, Reply]:
    """What a final call streams, and its reply."""
    text, reply = "", None
    async for item in items:
        if isinstance(item, Reply):
            reply = item
        else:
            text += streamed_text([item])
    assert reply is not None
    return text, reply
