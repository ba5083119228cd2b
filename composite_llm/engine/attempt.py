"""One attempt: recorded, limited, charged."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from composite_llm.backend.interface import AttemptRequest, Reply
from composite_llm.config.node import Node
from composite_llm.engine.attempt_cost import BY_NESTED, Spent, spent_on_answer, spent_on_part
from composite_llm.engine.breaker import Breakers
from composite_llm.engine.budget import Reservation
from composite_llm.engine.cost_bounds import advice_on_length, cost_bound
from composite_llm.engine.recorder import OpenAttempt, OpenCall
from composite_llm.engine.scope import Scope
from composite_llm.engine.slot import Slot
from composite_llm.engine.stream_assembler import StreamAssembler
from composite_llm.model.errors import AttemptFailed, BudgetExceeded, Failure
from composite_llm.model.events import AttemptStarted
from composite_llm.model.model_strings import is_composite_model

_log = logging.getLogger("composite_llm")
FINAL_ROLES = frozenset({"aggregator", "chairman"})
"""Roles that are streamed, or not, as the caller asked."""


def slot(scope: Scope, node: Node) -> Slot:
    """A place among the attempts in flight. A nested composite takes none: its own attempts do, and must find one."""
    return Slot(None if scope.backend.nested(node.model) else scope.limiter)


def begin(scope: Scope, node: Node, call: OpenCall, request: AttemptRequest, slot_taken: Slot) -> OpenAttempt:
    """Count and record an attempt that leaves now, from its place among those in flight.

    Raises:
        BudgetExceeded: It would go over a cap, or might: its worst case is more than what is left.
        AttemptFailed: Its breaker is open; recorded all the same.
    """
    attempt = OpenAttempt(
        node.model,
        scope.backend.endpoint(request),
        scope.recorder.clock(),
        request,
        slot_taken,
        patience_s=request.timeout_s,
    )
    if scope.backend.nested(node.model):
        attempt.spent = BY_NESTED
    else:
        scope.budget.check()
        attempt.reservation = _reserved(scope, node, request)
        breakers = _breakers_of(scope, attempt)
        patience_s = attempt.patience_s
        refusal = breakers.refusal(attempt.model, attempt.endpoint, patience_s) if breakers is not None else None
        if refusal is not None:
            _released(scope, attempt)
            call.attempts.append(attempt)
            _note_failure(scope, attempt, refusal)
            attempt.request = None
            if not _failed_at(call, attempt):
                scope.degrade("breaker_open", refusal.reason, stage=call.stage, member=call.name)
            raise AttemptFailed(refusal)
        scope.budget.start_call()
    call.attempts.append(attempt)
    scope.emit(AttemptStarted(call.id, call.stage, call.name, node.model, len(call.attempts)))
    return attempt


def _failed_at(call: OpenCall, refused: OpenAttempt) -> bool:
    """Whether the call itself has failed at that endpoint: then that is what there is to tell."""
    target = (refused.model, refused.endpoint)
    failed = [
        attempt for attempt in call.attempts if attempt.status in ("failed", "timed_out") and attempt is not refused
    ]
    return any((attempt.model, attempt.endpoint) == target for attempt in failed)


def _reserved(scope: Scope, node: Node, request: AttemptRequest) -> Reservation | None:
    """The money set aside for an attempt; None where there is no cap on it."""
    if scope.budget.cost_left_usd is None:
        return None
    bound = cost_bound(scope.facts, node, request.messages, request.params)
    try:
        return scope.budget.reserve(bound.at_most_usd, bound.exact_usd)
    except BudgetExceeded as error:
        advice = advice_on_length(scope.facts, node, request.params, error.used + bound.exact_usd())
        if advice is not None and error.used < error.limit:
            error.advise(advice)
        raise


def _released(scope: Scope, attempt: OpenAttempt) -> None:
    if attempt.reservation is not None:
        scope.budget.release(attempt.reservation)
        attempt.reservation = None


def refused(scope: Scope, call: OpenCall, error: BudgetExceeded) -> Failure:
    """The failure of an attempt that a cap forbids."""
    scope.budget.refusal = error
    scope.degrade("budget_reached", error.message, stage=call.stage, member=call.name)
    return Failure("budget", error.message, error_class=type(error).__name__)


def _breakers_of(scope: Scope, attempt: OpenAttempt) -> Breakers | None:
    """The process's breakers, but for composites, which have their own nodes', and names the Router looks after."""
    if is_composite_model(attempt.model) or scope.backend.routed(attempt.model):
        return None
    return scope.breakers


def finish_with_reply(scope: Scope, attempt: OpenAttempt, reply: Reply, unusable: str | None = None) -> None:
    """Record what an attempt answered, and charge it."""
    attempt.ended = scope.recorder.clock()
    attempt.status = "ok" if unusable is None else "failed"
    attempt.error = unusable
    attempt.response_model, attempt.finish_reason = reply.model, reply.finish_reason
    breakers = _breakers_of(scope, attempt)
    if breakers is not None:
        breakers.succeeded(attempt.model, attempt.endpoint)
    _settle(scope, attempt, spent_on_answer(scope.facts, _request_of(attempt), reply))


def finish_with_failure(scope: Scope, attempt: OpenAttempt, failure: Failure, part: Reply | None = None) -> None:
    """Record why an attempt failed, and charge what it consumed nevertheless.

    Args:
        scope: The run.
        attempt: The one that failed.
        failure: Why.
        part: What had come of its answer.
    """
    _note_failure(scope, attempt, failure)
    breakers = _breakers_of(scope, attempt)
    if breakers is not None:
        # A provider that says itself that it was too slow says so to everybody.
        patience_s = attempt.patience_s if failure.status_code is None else None
        breakers.failed(attempt.model, attempt.endpoint, failure.kind, patience_s, failure.cause)
    told = bool(failure.usage.total_tokens) or failure.cost_usd != 0
    spent = Spent(failure.usage, failure.cost_usd) if told else attempt.spent
    if part is not None and (part.nested or part.usage_reported or not told):
        spent = spent_on_part(scope.facts, _request_of(attempt), part, accepted=False)
    _settle(scope, attempt, spent)


def _settle(scope: Scope, attempt: OpenAttempt, spent: Spent) -> None:
    """Write down what an attempt that is over has spent, and charge it."""
    _released(scope, attempt)
    attempt.spent, attempt.until_now, attempt.request = spent, None, None
    if spent.cost_usd != 0:
        scope.budget.charge(spent.cost_usd)


def _note_failure(scope: Scope, attempt: OpenAttempt, failure: Failure) -> None:
    attempt.ended = scope.recorder.clock()
    attempt.status = "timed_out" if failure.kind == "timed_out" else "failed"
    attempt.error = failure.reason
    attempt.error_class = failure.error_class
    attempt.status_code = failure.status_code
    attempt.provider_message = failure.provider_message
    if failure.provider_message is not None:
        _log.debug("%s: %s; the provider said: %s", attempt.model, failure.reason, failure.provider_message)


def finish_cancelled(scope: Scope, attempt: OpenAttempt, part: Reply | None = None) -> None:
    """Record that an attempt was cut off from outside, and charge what had come of its answer.

    Args:
        scope: The run.
        attempt: The one that was cut off.
        part: What had come; None where nothing was seen of the answer, not even that it had begun.
    """
    if attempt.ended is None:
        attempt.ended = scope.recorder.clock()
        attempt.status = "cancelled"
    breakers = _breakers_of(scope, attempt)
    if breakers is not None:
        breakers.released(attempt.model, attempt.endpoint)
    spent = attempt.spent
    if part is not None:
        spent = spent_on_part(scope.facts, _request_of(attempt), part, accepted=True)
    _settle(scope, attempt, spent)


def _request_of(attempt: OpenAttempt) -> AttemptRequest:
    assert attempt.request is not None
    return attempt.request


def timeout_failure(node: Node, endpoint: str | None, request: AttemptRequest) -> Failure:
    """The failure of an attempt that ran out of its node's time."""
    where = f"{endpoint} " if endpoint else ""
    if request.progress.fetching:
        reason = f"{where}not asked: what the messages point to was not there within {node.timeout or 0:g} s"
        return Failure("unsendable", reason, error_class="TimeoutError")
    limit = f"{node.timeout or 0:g} s"
    cause = f"no reply within {limit}"
    return Failure("timed_out", f"{where}gave no reply within {limit}", error_class="TimeoutError", cause=cause)


async def attempt_plain(
    scope: Scope, node: Node, call: OpenCall, request: AttemptRequest
) -> tuple[OpenAttempt, Reply] | Failure:
    """One plain attempt; an expected failure is a value."""
    async with slot(scope, node) as slot_taken:
        try:
            attempt = begin(scope, node, call, request, slot_taken)
        except BudgetExceeded as error:
            return refused(scope, call, error)
        except AttemptFailed as error:
            return error.failure
        came = StreamAssembler(node.model)
        streamed = scope.stream_members and call.role not in FINAL_ROLES and not scope.backend.nested(node.model)
        try:
            async with asyncio.timeout(node.timeout):
                reply = await (_streamed_inside(scope, request, came) if streamed else scope.backend.complete(request))
        except TimeoutError:
            failure = timeout_failure(node, attempt.endpoint, request)
        except AttemptFailed as error:
            failure = error.failure
        except asyncio.CancelledError:
            finish_cancelled(scope, attempt, came.reply() if came.begun else None)
            raise
        else:
            return attempt, reply
        finish_with_failure(scope, attempt, failure, came.reply() if came.begun else None)
        return failure


async def _streamed_inside(scope: Scope, request: AttemptRequest, came: StreamAssembler) -> Reply:
    """A plain reply that was sent as a stream; `came` has what there is of it, whatever ends it."""
    async with contextlib.aclosing(scope.backend.stream(request)) as chunks:
        async for chunk in chunks:
            came.add(chunk)
    return came.reply()
