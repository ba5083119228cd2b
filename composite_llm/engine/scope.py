"""What all calls of one run share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from composite_llm.backend.interface import Backend, ModelFacts
from composite_llm.engine.breaker import Breakers
from composite_llm.engine.budget import Budget
from composite_llm.engine.endpoint_refusals import EndpointRefusals
from composite_llm.engine.positional_ballots import PositionalBallots
from composite_llm.engine.recorder import OpenCall, Recorder
from composite_llm.engine.retry_cache import CachedAnswers
from composite_llm.model.events import Degraded, Event, Noted
from composite_llm.model.structured_text import Degradation


def ignore_event(_: Event) -> None:
    """The listener of a run that nobody watches."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One run, or one nested run, as its calls see it.

    Attributes:
        backend: Sends attempts.
        facts: What is known about models.
        recorder: Shared by the whole run tree.
        budget: Own caps, then the parents'.
        limiter: At most so many attempts at once; shared by the whole run tree, None for no limit.
        deadline: Moment of the loop's clock when the run must be over; None for never.
        secret: The codes that candidates are fenced with are made with it, so that they cannot pose as instructions.
        breakers: Shared by the whole process; None for none.
        endpoint_refusals: What endpoints were found to refuse; shared by the whole process.
        positional_ballots: Which reviewers only repeat the order shown; shared by the whole process.
        cached_answers: What the same request had been answered when it failed a moment ago.
        answers_to_keep: Where this run's own answers are put, in case that it fails.
        emit: Told what happens.
        watched: Whether anybody looks at what is told; if not, what is costly to put together is left out.
        parent_id: The call this run is nested in.
        ancestors: Composite model strings around this run, its own last.
        metadata: The caller's own metadata, identity stripped.
        trace_id: LiteLLM's trace id.
        session_id: LiteLLM's session id.
        owner: Whom kept deliberations belong to; None to keep and find none.
        client_timeout_s: The run's limit, told to the client library; constant, because LiteLLM keeps one HTTP client
            per distinct value.
        drain_s: How long a stream whose reader has gone is read on, for what its provider has sent already: of a
            finished answer that is the exact bill.
    """

    backend: Backend
    facts: ModelFacts
    recorder: Recorder
    budget: Budget
    secret: str
    limiter: asyncio.Semaphore | None = None
    deadline: float | None = None
    breakers: Breakers | None = None
    endpoint_refusals: EndpointRefusals = field(default_factory=EndpointRefusals)
    positional_ballots: PositionalBallots = field(default_factory=PositionalBallots)
    cached_answers: CachedAnswers | None = None
    answers_to_keep: CachedAnswers | None = None
    emit: Callable[[Event], None] = ignore_event
    watched: bool = True
    stream_members: bool = False
    parent_id: str | None = None
    ancestors: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str | None = None
    session_id: str | None = None
    owner: str | None = ""
    client_timeout_s: float | None = None
    drain_s: float = 0.0

    def time_left(self) -> float | None:
        """Seconds until the deadline."""
        return None if self.deadline is None else self.deadline - self.recorder.clock()

    def ending_in(self, limit_s: float | None) -> Scope:
        """The same scope with an earlier deadline: a retry is not waited for, and a nested run not begun, beyond it."""
        if limit_s is None:
            return self
        end = self.recorder.clock() + limit_s
        return replace(self, deadline=end if self.deadline is None else min(end, self.deadline))

    def degrade(self, code: str, detail: str = "", *, stage: str | None = None, member: str | None = None) -> None:
        """Record a departure from the configuration, and tell it.

        Args:
            code: What kind of departure, for machines; one of a small set.
            detail: One clause for people.
            stage: The stage that it happened in.
            member: The name of whoever it is about.
        """
        self.degrade_as(Degradation(code, detail, stage=stage, member=member))

    def degrade_as(self, reason: Degradation) -> None:
        """The same for one that is made already."""
        if reason not in self.recorder.degraded:
            self.recorder.degrade(reason)
            self.emit(Degraded(reason))

    def note(self, text: str) -> None:
        """Record something worth knowing of the outermost run, and tell it."""
        if self.parent_id is None:
            self.recorder.notes = (*self.recorder.notes, text)
            self.emit(Noted((text,)))

    def emit_done(self, call: OpenCall) -> None:
        """Tell that a subcall is done."""
        if self.watched:
            self.emit(self.recorder.done(call))

    def child_scope(self, call_id: str) -> Scope:
        """The same scope for what runs inside one call."""
        return replace(self, parent_id=call_id)
