"""The final call: the same node, fallbacks, retries and limits, plain or streamed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from composite_llm.backend.interface import NO_DELTA, AttemptRequest, Chunk, Reply
from composite_llm.config.node import Node
from composite_llm.engine.attempt import (
    begin,
    finish_cancelled,
    finish_with_failure,
    finish_with_reply,
    refused,
    slot,
    timeout_failure,
)
from composite_llm.engine.attempt_cost import NOTHING, Spent, spent_on_part
from composite_llm.engine.recorder import OpenAttempt, OpenCall
from composite_llm.engine.scope import Scope
from composite_llm.engine.stream_assembler import StreamAssembler
from composite_llm.engine.stream_race import StreamedAttempt, first_to_answer
from composite_llm.engine.subcall import (
    AttemptSequence,
    ask,
    final_unusable_reason,
    note_answer,
    note_failure,
    note_next_step,
    open_call,
    unusable_failure,
    with_origin,
)
from composite_llm.engine.subcall_request import SubcallRequest, chain
from composite_llm.model.errors import AttemptFailed, BudgetExceeded, Failure, FinalCallFailed, NodeFailure
from composite_llm.model.messages import text_of
from composite_llm.model.structured_text import NextStep


async def final_call(scope: Scope, subcall: SubcallRequest, *, streamed: bool) -> AsyncGenerator[Chunk | Reply, None]:
    """Yields the chunks of a streamed call as they come, and last, in both forms, the whole reply.

    Raises:
        FinalCallFailed: The node and its fallbacks failed, or a stream broke off within its answer.
        BudgetExceeded: A cap of the run forbids the call.
    """
    call = open_call(scope, subcall)
    form = _StreamedFinal(scope, subcall, call).items() if streamed else _plain_final(scope, subcall, call)
    try:
        async with contextlib.aclosing(form) as items:
            async for item in items:
                yield item
    except (FinalCallFailed, BudgetExceeded):
        scope.emit_done(call)
        raise


async def _plain_final(scope: Scope, subcall: SubcallRequest, call: OpenCall) -> AsyncGenerator[Chunk | Reply, None]:
    outcome = await ask(scope, subcall, call)
    if not isinstance(outcome, Reply):
        raise _failed(scope, subcall, outcome)
    scope.emit_done(call)
    yield outcome


def _failed(
    scope: Scope, subcall: SubcallRequest, failures: Sequence[NodeFailure], received_chars: int = 0
) -> Exception:
    if failures[-1].failure.kind == "budget" and scope.budget.refusal is not None:
        return scope.budget.refusal
    return FinalCallFailed(subcall.stage, failures, received_chars)


class _StreamedFinal:
    """The streamed final call: what the caller has seen of an answer cannot be taken back, all before it can."""

    def __init__(self, scope: Scope, subcall: SubcallRequest, call: OpenCall) -> None:
        self._scope = scope
        self._inside = scope.child_scope(call.id)
        self._subcall = subcall
        self._call = call
        self._failures: list[NodeFailure] = []
        self._spare: Reply | None = None
        self._reply: Reply | None = None

    async def items(self) -> AsyncGenerator[Chunk | Reply, None]:
        try:
            for node in chain(self._subcall.node):
                if self._failures:
                    reason = self._failures[-1].failure.reason
                    self._degrade("fallback_used", f"{node.label} asked ({reason})")
                    yield NO_DELTA
                async with contextlib.aclosing(self._ask_node(node)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                if self._reply is not None or self._failures[-1].failure.kind == "budget":
                    break
            yield self._settled()
        finally:
            if self._call.ended is None:
                self._call.ended = self._scope.recorder.clock()

    def _degrade(self, code: str, detail: str) -> None:
        self._scope.degrade(code, detail, stage=self._subcall.stage, member=self._subcall.name)

    def _settled(self) -> Reply:
        reply = self._reply or self._spare
        if reply is None:
            note_failure(self._call, self._failures[-1].failure)
            raise _failed(self._scope, self._subcall, self._failures)
        if self._reply is None:
            self._degrade("final_unusable", self._failures[0].failure.reason)
            note_answer(self._call, self._subcall.node, reply)
        self._call.ended = self._scope.recorder.clock()
        self._scope.emit_done(self._call)
        return reply

    async def _ask_node(self, node: Node) -> AsyncGenerator[Chunk, None]:
        """One node with its retries; leaves a reply, or another failure."""
        attempts = AttemptSequence(self._scope, self._subcall, node, self._call)
        while True:
            try:
                request = attempts.request()
            except AttemptFailed as error:
                self._failures.append(NodeFailure(node.label, error.failure))
                return
            attempt, opened = await self._begun(node, request)
            async with contextlib.aclosing(opened) as chunks:
                async for chunk in chunks:
                    yield chunk
            failure = attempt.failure or self._take(node, attempt.assembler)
            if failure is None:
                attempts.answered()
                return
            if attempt.assembler.answer_started:
                reason = "part of the answer was already passed on"
                note_next_step(self._call, NextStep("give_up", reason=reason))
                note_failure(self._call, failure)
                self._call.content = text_of(attempt.assembler.reply().message.get("content")) or None
                failures = [*self._failures, NodeFailure(node.label, failure)]
                raise _failed(self._scope, self._subcall, failures, attempt.assembler.received_chars)
            if not await attempts.again(failure):
                self._failures.append(NodeFailure(node.label, attempts.reason(failure)))
                return

    async def _begun(self, node: Node, request: AttemptRequest) -> tuple[StreamedAttempt, AsyncGenerator[Chunk, None]]:
        """The attempt, or the quicker one of two, and its chunks."""

        def made(again: bool) -> StreamedAttempt:
            sent = replace(request, unique=True) if again else request
            return _StreamedAttempt(self._inside, node, self._call, sent)

        if node.hedge_after_s is None:
            attempt = made(False)
            return attempt, attempt.chunks()
        opened = await first_to_answer(made, node.hedge_after_s, self._call)
        return opened.attempt, opened.chunks()

    def _take(self, node: Node, assembler: StreamAssembler) -> Failure | None:
        """Accept a whole answer; one that falls short and that nobody has seen yet is a failure like another."""
        reply = assembler.reply()
        shortcoming = final_unusable_reason(reply)
        if shortcoming is not None and not assembler.answer_started:
            self._spare = self._spare or reply
            return unusable_failure(self._call.attempts[-1].endpoint, shortcoming)
        if shortcoming is not None:
            self._degrade("final_unusable", shortcoming)
        note_answer(self._call, node, reply)
        self._reply = with_origin(node, self._call, reply)
        return None


class _StreamedAttempt:
    """One streamed attempt; `failure` says afterwards why it gave no whole answer."""

    def __init__(self, scope: Scope, node: Node, call: OpenCall, request: AttemptRequest) -> None:
        self._scope = scope
        self._node = node
        self._call = call
        self._request = request
        self.assembler = StreamAssembler()
        self.failure: Failure | None = None
        self._complete = False

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        async with slot(self._scope, self._node) as slot_taken:
            try:
                attempt = begin(self._scope, self._node, self._call, self._request, slot_taken)
            except BudgetExceeded as error:
                self.failure = refused(self._scope, self._call, error)
                return
            except AttemptFailed as error:
                self.failure = error.failure
                return
            attempt.until_now = self._until_now
            try:
                async with contextlib.aclosing(self._received(attempt)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                self._complete = True
            except AttemptFailed as error:
                self.failure = error.failure
            finally:
                self._account(attempt)

    async def _received(self, attempt: OpenAttempt) -> AsyncGenerator[Chunk, None]:
        clock, deadline = self._scope.recorder.clock, self._scope.deadline
        own_limit = None if self._node.timeout is None else clock() + self._node.timeout
        limit = _earlier(own_limit, deadline)
        async with contextlib.aclosing(self._scope.backend.stream(self._request)) as chunks:
            while True:
                try:
                    # The scope ends before the chunk is handed on: what the reader does must not be cancelled by it.
                    async with asyncio.timeout_at(limit):
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if limit == deadline:
                        raise
                    raise AttemptFailed(timeout_failure(self._node, attempt.endpoint, self._request)) from None
                if attempt.first_token is None and chunk.choices:
                    attempt.first_token = clock()
                self.assembler.add(chunk)
                handed_on = clock()
                try:
                    yield chunk
                except GeneratorExit:
                    await self._take_what_has_come(chunks)
                    raise
                if own_limit is not None:
                    # The reader's time is the run's, not the model's.
                    own_limit += clock() - handed_on
                    limit = _earlier(own_limit, deadline)

    async def _take_what_has_come(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        """What the provider has already sent is billed though nobody reads it; its last chunk tells the tokens."""
        if not self._scope.drain_s:
            return
        with contextlib.suppress(TimeoutError, AttemptFailed):
            async with asyncio.timeout(self._scope.drain_s):
                async for chunk in chunks:
                    self.assembler.add(chunk)

    def _account(self, attempt: OpenAttempt) -> None:
        reply = self.assembler.reply()
        if self._complete:
            unseen = not self.assembler.answer_started
            finish_with_reply(self._scope, attempt, reply, final_unusable_reason(reply) if unseen else None)
        elif self.failure is not None:
            finish_with_failure(self._scope, attempt, self.failure, reply)
        else:
            # Closed by whoever reads it, or by the end of the run's time: no fault of the model's.
            attempt.error = "closed before its end"
            self._call.content = text_of(reply.message.get("content")) or None
            finish_cancelled(self._scope, attempt, reply if self.assembler.begun else None)

    def _until_now(self) -> Spent:
        if not self.assembler.begun:
            return NOTHING
        return spent_on_part(self._scope.facts, self._request, self.assembler.reply(), accepted=True)


def _earlier(*moments: float | None) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)
