"""One subcall: fallback > retry > timeout > attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from composite_llm.backend.interface import AttemptRequest, Message, Reply
from composite_llm.backend.tool_turn import origin_of
from composite_llm.config.node import Node
from composite_llm.engine.attempt import attempt_plain, finish_with_reply
from composite_llm.engine.cancellation import being_cancelled
from composite_llm.engine.recorder import OpenAttempt, OpenCall
from composite_llm.engine.request_forms import (
    IN_ANOTHER_FORM,
    MOST_SHORTENED,
    OF_ONE_CONVERSATION,
    is_in_vain,
    lifted_by,
    shorter,
    tokens_of,
    window_in_our_tokens,
)
from composite_llm.engine.retry import delay_before_retry, why_no_retry
from composite_llm.engine.scope import Scope
from composite_llm.engine.subcall_request import Form, SubcallRequest, attempt_request, chain
from composite_llm.model.errors import AttemptFailed, Failure, NodeFailure
from composite_llm.model.messages import text_of
from composite_llm.model.structured_text import NextStep


def open_call(scope: Scope, subcall: SubcallRequest) -> OpenCall:
    """Begin the record of a subcall."""
    return scope.recorder.open_call(
        subcall.stage,
        subcall.role,
        subcall.name,
        subcall.node.model,
        scope.parent_id,
        title=subcall.title,
        final=subcall.final,
    )


async def ask(scope: Scope, subcall: SubcallRequest, call: OpenCall) -> Reply | list[NodeFailure]:
    """Ask a subcall's node and then its fallbacks, until one answers usably.

    A final call whose every answer falls short returns the first of them as it is: a blank answer may be all that the
    model has to say.

    Returns:
        The reply, or why each node tried gave none. Only cancellation and the caller's own mistakes raise.
    """
    failures: list[NodeFailure] = []
    spare: Reply | None = None
    try:
        for node in chain(subcall.node):
            if failures:
                detail = f"{node.label} asked ({failures[-1].failure.reason})"
                scope.degrade("fallback_used", detail, stage=subcall.stage, member=subcall.name)
            outcome = await _ask_node(scope, subcall, node, call)
            if isinstance(outcome, Reply):
                note_answer(call, node, outcome)
                return with_origin(node, call, outcome)
            failure, reply = outcome
            spare = spare or reply
            failures.append(NodeFailure(node.label, failure))
            if failure.kind == "budget":
                break
        if subcall.final and spare is not None:
            scope.degrade("final_unusable", failures[0].failure.reason, stage=subcall.stage, member=subcall.name)
            note_answer(call, subcall.node, spare)
            return spare
        note_failure(call, failures[-1].failure)
        return failures
    finally:
        call.ended = scope.recorder.clock()


def note_answer(call: OpenCall, node: Node, reply: Reply) -> None:
    """Record which node answered, and what."""
    call.status = "ok"
    call.model = node.model
    call.content = text_of(reply.message.get("content")) or None


def with_origin(node: Node, call: OpenCall, reply: Reply) -> Reply:
    """The reply with who said it; a composite's comes from a model of its own."""
    if node.is_composite or reply.nested:
        return reply
    return replace(reply, origin=origin_of(node.model, call.attempts[-1].endpoint))


def note_failure(call: OpenCall, failure: Failure) -> None:
    """Record why a subcall gave no answer."""
    call.status = "timed_out" if failure.kind == "timed_out" else "failed"
    call.error = failure.reason


async def _ask_node(
    scope: Scope, subcall: SubcallRequest, node: Node, call: OpenCall
) -> Reply | tuple[Failure, Reply | None]:
    attempts = AttemptSequence(scope, subcall, node, call)
    while True:
        reply: Reply | None = None
        try:
            request = attempts.request()
        except AttemptFailed as error:
            return error.failure, None
        outcome = await hedged(attempts.inside, subcall, node, call, request)
        if not isinstance(outcome, Failure):
            attempt, reply = outcome
            unusable = unusable_reason(subcall, reply)
            finish_with_reply(scope, attempt, reply, unusable)
            if unusable is None:
                attempts.answered()
                return reply
            outcome = unusable_failure(attempt.endpoint, unusable)
        if not await attempts.again(outcome):
            return attempts.reason(outcome), reply


class AttemptSequence:
    """The attempts at one node: what is sent next, and whether anything is.

    Attributes:
        inside: The scope of what runs within the call.
    """

    def __init__(self, scope: Scope, subcall: SubcallRequest, node: Node, call: OpenCall) -> None:
        self.inside = scope.child_scope(call.id)
        self._scope = scope
        self._subcall = subcall
        self._node = node
        self._call = call
        self._made = 0
        self._blank = False
        self._form = Form()
        self._sent = AttemptRequest(node.model, ())
        self._too_long: Failure | None = None
        self._shortened = 0
        self._window: int | None = None
        self._failed: Failure | None = None

    def request(self) -> AttemptRequest:
        """The next attempt.

        Raises:
            AttemptFailed: The conversation itself does not fit the node's context window.
        """
        try:
            sent = attempt_request(self.inside, self._subcall, self._node, self._form)
            # A response cache would answer with the same nothing.
            self._sent = replace(sent, unique=True) if self._blank else sent
        except AttemptFailed:
            if self._too_long is None:
                raise
            # What the provider said tells more than the window that was guessed from it.
            note_next_step(self._call, NextStep("give_up", reason="the answers cannot be made shorter"))
            raise AttemptFailed(self._too_long) from None
        return self._sent

    def answered(self) -> None:
        """The last attempt was answered: what the ones before were refused for is known now."""
        restrictions = self._form.restrictions - OF_ONE_CONVERSATION
        if restrictions or self._window is not None:
            endpoint = self._scope.backend.endpoint(self._sent)
            self._scope.endpoint_refusals.learn(self._node.model, endpoint, restrictions, self._window)

    async def again(self, failure: Failure) -> bool:
        """Whether to try once more after a failed attempt; waits as long as it is wise to before."""
        if (change := self._other_form(failure)) is not None:
            note_next_step(self._call, NextStep("other_form", reason=change))
            return True
        self._made += 1
        delay_s = self._delay_s(failure)
        self._blank = self._blank or failure.kind == "blank"
        gave_up = delay_s is None
        step = (
            NextStep("give_up", reason=self._why_no_retry(failure)) if gave_up else NextStep("retry", delay_s=delay_s)
        )
        note_next_step(self._call, step)
        if delay_s is None:
            return False
        self._failed = failure
        await asyncio.sleep(delay_s)
        return True

    def reason(self, failure: Failure) -> Failure:
        """Why the node gave no answer: what its endpoint did, also where that has opened its breaker meanwhile."""
        return self._failed if failure.kind == "breaker_open" and self._failed is not None else failure

    def _other_form(self, failure: Failure) -> str | None:
        """What is changed of the request so that it may be taken; None if nothing is known that would help."""
        if failure.kind == "context_window" and self._may_shorten(failure):
            self._too_long = failure
            self._shortened += 1
            counted = tokens_of(self._scope.facts, self._sent)
            self._window = window_in_our_tokens(counted, failure.window)
            self._form = replace(self._form, at_most_tokens=shorter(counted, self._sent, failure.window))
            return "with shorter answers"
        restriction = lifted_by(self._subcall, self._node, self._sent, failure)
        if restriction is None:
            return None
        self._form = replace(self._form, restrictions=self._form.restrictions | {restriction})
        return IN_ANOTHER_FORM[restriction]

    def _may_shorten(self, failure: Failure) -> bool:
        if not self._subcall.materials or is_in_vain(self._too_long, failure):
            return False
        # A bare 413 may be about anything in the body.
        return self._shortened < (MOST_SHORTENED if failure.window is not None else 1)

    def _delay_s(self, failure: Failure) -> float | None:
        if self._scope.backend.routed(self._node.model) and failure.kind != "blank":
            # The Router has retried already, by its own settings.
            return None
        delay_s = delay_before_retry(failure, self._made, self._node.num_retries, blank_before=self._blank)
        left = self._scope.time_left()
        return None if delay_s is None or (left is not None and delay_s >= left) else delay_s

    def _why_no_retry(self, failure: Failure) -> str:
        if self._scope.backend.routed(self._node.model) and failure.kind != "blank":
            return "its retries are the Router's"
        return why_no_retry(failure, self._made, self._node.num_retries)


async def hedged(
    scope: Scope, subcall: SubcallRequest, node: Node, call: OpenCall, request: AttemptRequest
) -> tuple[OpenAttempt, Reply] | Failure:
    """One attempt, or two when the first is slow: the first usable answer counts, the other is cancelled."""
    if node.hedge_after_s is None:
        return await attempt_plain(scope, node, call, request)
    tasks = [asyncio.create_task(attempt_plain(scope, node, call, request))]
    chosen: tuple[OpenAttempt, Reply] | Failure | None = None
    try:
        await asyncio.wait(tasks, timeout=node.hedge_after_s)
        if not tasks[0].done():
            note_next_step(call, NextStep("hedge", delay_s=node.hedge_after_s))
            tasks.append(asyncio.create_task(attempt_plain(scope, node, call, replace(request, unique=True))))
        chosen = await _first_usable(subcall, tasks)
        return chosen
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, tuple) and outcome is not chosen:
                # Answered too, and is paid for.
                finish_with_reply(scope, *outcome, unusable_reason(subcall, outcome[1]))
        for attempt in call.attempts:
            if attempt.status == "cancelled" and len(tasks) > 1 and not being_cancelled():
                attempt.status = "abandoned"


async def _first_usable(
    subcall: SubcallRequest, tasks: Sequence[asyncio.Task[tuple[OpenAttempt, Reply] | Failure]]
) -> tuple[OpenAttempt, Reply] | Failure:
    waiting = set(tasks)
    outcome: tuple[OpenAttempt, Reply] | Failure | None = None
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in (task for task in tasks if task in done):
            outcome = task.result()
            if not isinstance(outcome, Failure) and unusable_reason(subcall, outcome[1]) is None:
                return outcome
    assert outcome is not None
    return outcome


def unusable_failure(endpoint: str | None, why: str) -> Failure:
    """The failure of an attempt that was answered, but not with what was wanted."""
    return Failure("blank" if why == _BLANK else "unusable", f"{endpoint}: {why}" if endpoint else why)


_BLANK = "blank answer"


def unusable_reason(subcall: SubcallRequest, reply: Reply) -> str | None:
    """Why a reply is not what was wanted; None if it is."""
    return final_unusable_reason(reply) if subcall.final else member_unusable_reason(reply)


def note_next_step(call: OpenCall, step: NextStep) -> None:
    """Say in the record what followed the last attempt."""
    if call.attempts:
        call.attempts[-1].next_step = step


def member_unusable_reason(reply: Reply) -> str | None:
    """Why a reply is no answer another model can work with; None if it is one."""
    message = reply.message
    if reply.finish_reason == "content_filter":
        return "answer withheld by a content filter"
    if text_of(message.get("content")).strip():
        return None
    if message.get("refusal"):
        return "refused"
    if has_tool_calls(message):
        return "only a tool call where text was needed"
    return _BLANK if reply.finish_reason != "length" else f"{_BLANK}, cut off by max_tokens"


def final_unusable_reason(reply: Reply) -> str | None:
    """Why a final reply is worth asking a fallback; None if it is an answer."""
    if reply.finish_reason == "content_filter":
        return "answer withheld by a content filter"
    message = reply.message
    if has_tool_calls(message) or message.get("refusal") or message.get("audio") or message.get("images"):
        return None
    return None if text_of(message.get("content")).strip() or reply.finish_reason == "length" else _BLANK


def is_blank(reply: Reply) -> bool:
    """Whether a final reply says nothing at all, for whatever reason."""
    message = reply.message
    said = (message.get(key) for key in ("tool_calls", "function_call", "refusal", "audio", "images"))
    return not text_of(message.get("content")).strip() and not any(said)


def has_tool_calls(message: Message) -> bool:
    """Whether a message asks for tools."""
    return bool(message.get("tool_calls") or message.get("function_call"))
