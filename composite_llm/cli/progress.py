"""What each member of a run is doing, kept from what the run tells its observers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from composite_llm.model.events import (
    AnswerChosen,
    AnswersAnalyzed,
    AttemptStarted,
    BallotsCounted,
    CallDone,
    Degraded,
    DeliberationReused,
    Event,
    Noted,
    RunStarted,
    StageDone,
    StageStarted,
    ToolsRun,
)
from composite_llm.model.structured_text import Degradation
from composite_llm.model.trace import Call, Ranking, Trace
from composite_llm.model.usage import Usage, total_cost, total_usage
from composite_llm.observe.observer import RunInfo
from composite_llm.run.explanation import Explanation

State = Literal["waiting", "writing", "done", "failed", "dropped"]


@dataclass(slots=True)
class Row:
    """One member of one stage.

    Attributes:
        name: As in the trace.
        state: `waiting` until its request leaves; `dropped` when it was not needed any more, or the run was cancelled.
        seconds: How long it took; while it writes, see `elapsed`.
        usage: Its tokens, nested calls included.
        cost_usd: Their price; None when unknown.
        attempts: How many requests have left.
        note: What went wrong, or who answered in its place.
        provider_message: What the provider itself said about it.
    """

    name: str
    state: State = "waiting"
    started: float | None = None
    seconds: float | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    attempts: int = 0
    note: str | None = None
    provider_message: str | None = None

    def elapsed(self, now: float) -> float | None:
        """Seconds to show now; None before it has started."""
        if self.seconds is not None:
            return self.seconds
        return None if self.started is None else now - self.started


def provider_message(call: Call) -> str | None:
    """What the provider said about the last failure of a call that gave no answer."""
    said = (attempt.provider_message for attempt in reversed(call.attempts) if attempt.provider_message)
    return next(said, None) if call.status != "ok" else None


@dataclass(slots=True)
class Stage:
    """A stage and its members."""

    name: str
    rows: list[Row]
    title: str = ""

    @property
    def heading(self) -> str:
        """What people read."""
        return self.title or self.name.capitalize()


_STATES: dict[str, State] = {"ok": "done", "abandoned": "dropped", "cancelled": "dropped"}


@dataclass(slots=True, eq=False)
class Progress:
    """An observer of one run at a time.

    Attributes:
        stages: In the order of the run; those to come are there from the start when `expect` was told of them.
        notes: What is worth knowing before the run.
        told: Called with each event.
        trace: Of the run that ended last.
    """

    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ranking: Ranking | None = None
    degraded: list[Degradation] = field(default_factory=list)
    trace: Trace | None = None
    clock: Callable[[], float] = time.monotonic
    told: Callable[[Event], None] = lambda _event: None

    def expect(self, plan: Explanation) -> None:
        """Begin anew, with rows for everybody who will be asked."""
        self.ranking, self.degraded, self.trace, self.notes = None, [], None, list(plan.notes)
        self.stages = [
            Stage(stage.stage, [Row(node.name) for node in stage.nodes], stage.title) for stage in plan.stages
        ]

    def run_started(self, run: RunInfo) -> None:
        """As `Observer`."""
        self.trace = None

    def run_event(self, run: RunInfo, event: Event) -> None:
        """As `Observer`."""
        match event:
            case StageStarted(stage, names, title):
                self._stage_started(stage, names, title)
            case AttemptStarted(_, stage, name, _, number):
                row = self._row(stage, name)
                row.state, row.attempts = "writing", number
                row.started = row.started if row.started is not None else self.clock()
            case CallDone(call, spent, cost_usd):
                self._done(call, spent, cost_usd)
            case BallotsCounted(ranking):
                self.ranking = ranking
            case Degraded(reason):
                self.degraded.append(reason)
            case Noted(notes):
                self.notes += notes
            case RunStarted() | AnswersAnalyzed() | AnswerChosen() | DeliberationReused() | StageDone() | ToolsRun():
                pass
        self.told(event)

    def run_ended(self, run: RunInfo, trace: Trace) -> None:
        """As `Observer`: what was cut off, and the final call of a run that failed, are in the trace alone."""
        self.trace = trace
        self.degraded = list(trace.degraded)
        if trace.ending == "ok":
            # Who was expected and not asked, since the final model answered by itself.
            asked = {call.stage for call in trace.children(None)}
            self.stages = [stage for stage in self.stages if stage.name in asked]
        for call in trace.children(None):
            below = list(trace.subtree(call))
            self._done(call, total_usage(c.usage for c in below), total_cost(c.cost_usd for c in below))

    def _stage_started(self, stage: str, names: Sequence[str], title: str) -> None:
        known = self._stage(stage)
        known.title = title or known.title
        # Fewer than expected when the run's caps made it smaller.
        if [row.name for row in known.rows] != list(names):
            known.rows = [Row(name) for name in names]

    def _stage(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        self.stages.append(Stage(name, []))
        return self.stages[-1]

    def _row(self, stage: str, name: str) -> Row:
        rows = self._stage(stage).rows
        for row in rows:
            if row.name == name:
                return row
        rows.append(Row(name))
        return rows[-1]

    def _done(self, call: Call, spent: Usage, cost_usd: float | None) -> None:
        row = self._row(call.stage, call.name)
        self._stage(call.stage).title = call.title or self._stage(call.stage).title
        row.state = _STATES.get(call.status, "failed")
        row.seconds, row.usage, row.cost_usd, row.attempts = call.duration_s, spent, cost_usd, len(call.attempts)
        row.note, row.provider_message = call.error, provider_message(call)
        if call.status == "ok" and call.attempts and call.attempts[0].model != call.model:
            row.note = f"answered by {call.model}"
