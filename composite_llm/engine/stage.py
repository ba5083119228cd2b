"""A stage: subcalls made at once, ended by its quorum rule, and by nothing it does not need."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from composite_llm.backend.interface import Reply
from composite_llm.engine.recorder import OpenCall
from composite_llm.engine.scope import Scope
from composite_llm.engine.subcall import ask, note_answer, open_call
from composite_llm.engine.subcall_request import Answer, SubcallRequest
from composite_llm.model.errors import BudgetExceeded, Failure, NodeFailure, QuorumNotMet
from composite_llm.model.events import StageDone, StageStarted
from composite_llm.model.messages import text_of


@dataclass(frozen=True, slots=True)
class StagePolicy:
    """When a stage ends.

    Attributes:
        quorum: Usable answers it needs.
        straggler_grace_s: Seconds the rest gets once they are in; None until the stage's time is over.
        stage_timeout_s: Seconds for the whole stage; None for no limit of its own.
        required: Whether the run needs them: a stage that is not required ends with what there is.
        stages_left: Stages still to come, this one and the final call counted: without `stage_timeout_s`, a stage
            that has its quorum may use this share of the run's time left.
    """

    quorum: int = 1
    straggler_grace_s: float | None = None
    stage_timeout_s: float | None = None
    required: bool = True
    stages_left: int = 2


async def run_stage(scope: Scope, subcalls: Sequence[SubcallRequest], policy: StagePolicy) -> list[Answer]:
    """Ask all at once.

    Returns:
        The usable answers, in configuration order.

    Raises:
        QuorumNotMet: Too few answered usably, and the stage is required.
        BudgetExceeded: Too few could be asked under the run's caps, and the stage is required.
    """
    stage = subcalls[0].stage
    scope.emit(StageStarted(stage, tuple(subcall.name for subcall in subcalls), subcalls[0].title))
    deadline = _StageDeadline(scope, policy, len(subcalls))
    inside = scope.ending_in(policy.stage_timeout_s)
    outcomes = await _all_or_none(asyncio.create_task(_member(inside, subcall, deadline)) for subcall in subcalls)
    scope.emit(StageDone(stage, scope.recorder.usage, scope.recorder.cost_usd))
    answers = [
        Answer(subcall.name, text_of(outcome.message.get("content")), outcome, index)
        for index, (subcall, outcome) in enumerate(zip(subcalls, outcomes, strict=True))
        if isinstance(outcome, Reply)
    ]
    failures = [
        NodeFailure(subcall.name, outcome)
        for subcall, outcome in zip(subcalls, outcomes, strict=True)
        if isinstance(outcome, Failure)
    ]
    for answer in answers:
        if answer.cut_off:
            scope.degrade("member_truncated", "ran out of tokens", stage=stage, member=answer.name)
    for failed in failures:
        scope.degrade("member_missing", failed.failure.reason, stage=stage, member=failed.name)
    if len(answers) < policy.quorum and policy.required:
        raise _shortfall(scope, stage, policy.quorum, answers, failures)
    return answers


async def _all_or_none(members: Iterable[asyncio.Task[Reply | Failure]]) -> list[Reply | Failure]:
    tasks = list(members)
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        # Only a bug or a cancellation comes here; either way no sibling may go on spending.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _shortfall(
    scope: Scope, stage: str, needed: int, answers: Sequence[Answer], failures: Sequence[NodeFailure]
) -> QuorumNotMet | BudgetExceeded:
    if any(failed.failure.kind == "budget" for failed in failures) and scope.budget.refusal is not None:
        return scope.budget.refusal
    return QuorumNotMet(stage, needed, len(answers), failures)


class _StageDeadline:
    """Decides when the members still under way have had their time."""

    def __init__(self, scope: Scope, policy: StagePolicy, members: int) -> None:
        self._policy = policy
        self._clock = scope.recorder.clock
        self._started = self._clock()
        self._usable = 0
        self._quorum_met = False
        self._outstanding = members
        self._running: dict[asyncio.Timeout, str | None] = {}
        # What is not required has no more than its share of the time, quorum or not.
        self._quorum_in = not policy.required
        self._grace_end: float | None = None
        self._stage_end = None if policy.stage_timeout_s is None else self._started + policy.stage_timeout_s
        self._share = self._share_of_time(scope)

    def _share_of_time(self, scope: Scope) -> float | None:
        left = scope.time_left()
        if left is None or self._policy.stage_timeout_s is not None:
            return None
        return self._started + left / self._policy.stages_left

    @property
    def limit(self) -> float | None:
        """Moment when a member's time is over, as far as known now."""
        if not self._quorum_in:
            return self._stage_end
        ends = (self._stage_end, self._share, self._grace_end)
        return min((moment for moment in ends if moment is not None), default=None)

    def enter(self, timeout: asyncio.Timeout) -> None:
        """A member starts."""
        self._running[timeout] = None

    def leave(self, timeout: asyncio.Timeout, *, usable: bool) -> None:
        """A member is done; perhaps that settles the stage."""
        self._running.pop(timeout, None)
        self._outstanding -= 1
        self._usable += usable
        if not self._quorum_met and self._usable >= self._policy.quorum:
            self._quorum_in = self._quorum_met = True
            if self._policy.straggler_grace_s is not None:
                self._grace_end = self._clock() + self._policy.straggler_grace_s
            self._reschedule("the quorum was met and the straggler grace period was over")
        elif not self._quorum_in and self._usable + self._outstanding < self._policy.quorum:
            # Whatever the rest answers, the stage has failed: their money can be saved.
            self._grace_end = self._clock()
            self._quorum_in = True
            self._reschedule("the quorum could no longer be met")

    def _reschedule(self, reason: str) -> None:
        # Whom `stage_timeout_s` cuts off has had all the time there was, quorum or not.
        why = reason if self.limit != self._stage_end else None
        for timeout in self._running:
            # One whose time is over at this very moment ends by itself, and cannot be moved any more.
            if not timeout.expired():
                self._running[timeout] = why
                timeout.reschedule(self.limit)

    def why_abandoned(self, timeout: asyncio.Timeout) -> str | None:
        """Why a member that was cut off was not needed any more; None when its time was over."""
        return self._running.get(timeout)


async def _member(scope: Scope, subcall: SubcallRequest, deadline: _StageDeadline) -> Reply | Failure:
    call = open_call(scope, subcall)
    timeout = asyncio.timeout_at(deadline.limit)
    usable = False
    outcome: Reply | Failure
    try:
        async with timeout:
            deadline.enter(timeout)
            answered = _from_retry_cache(scope, subcall, call) or await ask(scope, subcall, call)
            outcome = answered if isinstance(answered, Reply) else answered[-1].failure
            usable = isinstance(outcome, Reply)
            if isinstance(outcome, Reply) and subcall.review is not None:
                review = subcall.review(outcome)
                call.labels, call.critiques = review.labels, review.critiques
            if isinstance(outcome, Reply) and scope.answers_to_keep is not None:
                # At once, since the run's time may end before the stage does.
                scope.answers_to_keep.keep(subcall.stage, subcall.name, subcall.messages, outcome)
    except TimeoutError:
        outcome = _cut_off(call, deadline.why_abandoned(timeout))
    finally:
        deadline.leave(timeout, usable=usable)
    scope.emit_done(call)
    return outcome


def _from_retry_cache(scope: Scope, subcall: SubcallRequest, call: OpenCall) -> Reply | None:
    """The answer that the same request was given before it failed, if that was just now."""
    reply = scope.cached_answers.answer_to(subcall) if scope.cached_answers is not None else None
    if reply is not None:
        note_answer(call, subcall.node, reply)
        call.ended = scope.recorder.clock()
    return reply


def _cut_off(call: OpenCall, why_abandoned: str | None) -> Failure:
    call.status = "timed_out" if why_abandoned is None else "abandoned"
    cut_off = [attempt for attempt in call.attempts if attempt.status == "cancelled"]
    silent = ", ".join(dict.fromkeys(attempt.endpoint for attempt in cut_off if attempt.endpoint))
    call.error = f"cut off: {why_abandoned or 'stage_timeout_s is over'}" + (
        f"; no reply from {silent}" if silent else ""
    )
    for attempt in cut_off:
        attempt.status, attempt.error = call.status, call.error
    return Failure("timed_out", call.error, error_class="TimeoutError", given_up=why_abandoned is not None)
