"""The record of a run while it is under way; a `Trace` can be made of it at any moment."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from composite_llm.backend.interface import AttemptRequest
from composite_llm.engine.attempt_cost import BY_NESTED, NOTHING, Spent
from composite_llm.engine.budget import Reservation
from composite_llm.engine.slot import Slot
from composite_llm.model.call_tree import CallTree
from composite_llm.model.events import CallDone
from composite_llm.model.structured_text import Degradation, NextStep
from composite_llm.model.trace import Aggregation, Analysis, Attempt, Call, CallStatus, Ranking, ToolCall, Trace
from composite_llm.model.usage import Usage, total_cost, total_usage

Clock = Callable[[], float]


def loop_clock() -> Clock:
    """The running loop's clock, which tests can make virtual."""
    return asyncio.get_running_loop().time


@dataclass(slots=True)
class OpenAttempt:
    """One attempt under way."""

    model: str
    endpoint: str | None
    started: float
    request: AttemptRequest | None = None
    """What was asked, until it is over."""
    slot: Slot | None = None
    patience_s: float | None = None
    first_token: float | None = None
    ended: float | None = None
    status: CallStatus = "cancelled"
    error: str | None = None
    error_class: str | None = None
    status_code: int | None = None
    spent: Spent = NOTHING
    until_now: Callable[[], Spent] | None = None
    """While an answer is being written: what it has spent so far."""
    next_step: NextStep | None = None
    reservation: Reservation | None = None
    response_model: str | None = None
    finish_reason: str | None = None
    provider_message: str | None = None

    @property
    def spent_until_now(self) -> Spent:
        """What it has spent, at whatever moment it is asked."""
        return self.until_now() if self.until_now is not None else self.spent


@dataclass(slots=True)
class OpenCall:
    """One subcall under way."""

    id: str
    parent_id: str | None
    stage: str
    role: str
    name: str
    model: str
    started: float
    title: str = ""
    final: bool = False
    ended: float | None = None
    status: CallStatus = "cancelled"
    error: str | None = None
    content: str | None = None
    attempts: list[OpenAttempt] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    critiques: Mapping[str, str] = field(default_factory=dict)
    composites: list[str] = field(default_factory=list)

    @property
    def spent(self) -> list[Spent]:
        """What each of its own attempts has spent until now."""
        return [attempt.spent_until_now for attempt in self.attempts]

    @property
    def usage(self) -> Usage:
        """Tokens of its own attempts."""
        return total_usage([spent.usage for spent in self.spent])

    @property
    def cost_usd(self) -> float | None:
        """Money of its own attempts."""
        return total_cost([spent.cost_usd for spent in self.spent])


class Recorder:
    """Collects what the run tree does."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.clock = loop_clock()
        self.started = self.clock()
        self.started_at = datetime.now(UTC)
        self.calls: list[OpenCall] = []
        self._by_id: dict[str, OpenCall] = {}
        self._tree: CallTree[OpenCall] = CallTree()
        self.tool_calls: list[ToolCall] = []
        self.degraded: list[Degradation] = []
        self.ranking: Ranking | None = None
        self.aggregation: Aggregation | None = None
        self.analysis: Analysis | None = None
        self.notes: tuple[str, ...] = ()
        self.self_moa = False
        self.reused = False
        self._numbers = itertools.count(1)

    def since_start(self, moment: float | None = None) -> float:
        """Seconds between the run's start and a moment of its clock (now if None)."""
        return (self.clock() if moment is None else moment) - self.started

    def open_call(
        self,
        stage: str,
        role: str,
        name: str,
        model: str,
        parent_id: str | None,
        *,
        title: str = "",
        final: bool = False,
    ) -> OpenCall:
        """Begin a subcall; `title` is its stage's heading, `final` whether its answer goes to the caller."""
        number = next(self._numbers)
        call = OpenCall(f"call-{number}", parent_id, stage, role, name, model, self.clock(), title, final)
        self.calls.append(call)
        self._by_id[call.id] = call
        self._tree.add(call)
        return call

    def nest(self, call_id: str, model: str) -> None:
        """A composite runs inside of a call: what is under way there sends nothing itself, as far as can be known now."""
        call = self._by_id[call_id]
        if model not in call.composites:
            call.composites.append(model)
        for attempt in call.attempts:
            if attempt.ended is None:
                attempt.spent = BY_NESTED
                if attempt.slot is not None:
                    attempt.slot.release()

    def degrade(self, reason: Degradation) -> None:
        """Note a departure from the configuration, once."""
        if reason not in self.degraded:
            self.degraded.append(reason)

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts until now."""
        return total_usage([spent.usage for call in self.calls for spent in call.spent])

    @property
    def cost_usd(self) -> float | None:
        """Money of all attempts until now; None when a price is unknown."""
        return total_cost([spent.cost_usd for call in self.calls for spent in call.spent])

    def call_record(self, call: OpenCall) -> Call:
        """The finished form of one subcall."""
        now = self.clock()
        return Call(
            id=call.id,
            parent_id=call.parent_id,
            stage=call.stage,
            title=call.title,
            role=call.role,
            final=call.final,
            name=call.name,
            model=call.model,
            start_s=self.since_start(call.started),
            duration_s=(now if call.ended is None else call.ended) - call.started,
            first_token_s=next(
                (self.since_start(a.first_token) for a in reversed(call.attempts) if a.first_token is not None), None
            ),
            usage=call.usage,
            cost_usd=call.cost_usd,
            status=call.status,
            error=call.error,
            attempts=[self._attempt_record(attempt, now) for attempt in call.attempts],
            composites=list(call.composites),
            content=call.content,
            labels=dict(call.labels),
            critiques=dict(call.critiques),
        )

    def _attempt_record(self, attempt: OpenAttempt, now: float) -> Attempt:
        spent = attempt.spent_until_now
        return Attempt(
            model=attempt.model,
            response_model=attempt.response_model,
            endpoint=attempt.endpoint,
            start_s=self.since_start(attempt.started),
            duration_s=(now if attempt.ended is None else attempt.ended) - attempt.started,
            first_token_s=None if attempt.first_token is None else self.since_start(attempt.first_token),
            status=attempt.status,
            error=attempt.error,
            error_class=attempt.error_class,
            status_code=attempt.status_code,
            finish_reason=attempt.finish_reason,
            usage=spent.usage,
            cost_usd=spent.cost_usd,
            next_step=attempt.next_step,
            estimated=spent.estimated,
            nested=spent.nested,
            provider_message=attempt.provider_message,
        )

    def done(self, call: OpenCall) -> CallDone:
        """The event that tells of a finished subcall."""
        tree = list(self._tree.subtree(call))
        spent, cost_usd = total_usage([c.usage for c in tree]), total_cost([c.cost_usd for c in tree])
        return CallDone(self.call_record(call), spent, cost_usd)

    def trace(
        self,
        strategy: str,
        model: str,
        title: str = "",
        error: str | None = None,
        error_class: str | None = None,
        *,
        run_id: str | None = None,
        below: str | None = None,
    ) -> Trace:
        """Everything until now; for a nested run, under its own id, what was done below the call that it is."""
        inside = self.calls if below is None else self._tree.descendants(below)
        calls = [self.call_record(call) for call in inside]
        for call in calls:
            if call.parent_id == below:
                call.parent_id = None
        return Trace(
            id=run_id or self.run_id,
            strategy=strategy,
            strategy_title=title,
            model=model,
            started_at=self.started_at,
            duration_s=self.since_start(),
            usage=total_usage([call.usage for call in calls]),
            cost_usd=total_cost([call.cost_usd for call in calls]),
            degraded=list(self.degraded),
            calls=calls,
            tool_calls=list(self.tool_calls),
            error=error,
            error_class=error_class,
            ranking=self.ranking,
            aggregation=self.aggregation,
            analysis=self.analysis,
            notes=list(self.notes),
            self_moa=self.self_moa,
            reused=self.reused,
        )
