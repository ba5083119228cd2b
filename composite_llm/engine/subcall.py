"""One answer wanted from one role: fallback > retry > timeout > attempt."""

from __future__ import annotations

import asyncio

from composite_llm.backend.interface import Message, Reply
from composite_llm.config.node import Node
from composite_llm.engine.attempt import attempt_plain, finish_with_reply
from composite_llm.engine.recorder import OpenCall
from composite_llm.engine.retry import delay_before_retry
from composite_llm.engine.scope import Scope
from composite_llm.engine.want import Want, attempt_request, chain
from composite_llm.errors import Failure, NodeFailure
from composite_llm.messages import text_of


async def ask(scope: Scope, want: Want, call: OpenCall) -> Reply | list[NodeFailure]:
    """Ask a want's node and then its fallbacks, until one answers usably.

    A final call whose every answer falls short returns the first of them as it is: a blank answer may be all that the
    model has to say.

    Returns:
        The reply, or why each node tried gave none. Only cancellation and the caller's own mistakes raise.
    """
    failures: list[NodeFailure] = []
    spare: Reply | None = None
    try:
        for node in chain(want.node):
            if failures:
                scope.degrade(f"{want.name}: fallback {node.label} asked ({failures[-1].failure.reason})")
            outcome = await _ask_node(scope, want, node, call)
            if isinstance(outcome, Reply):
                note_answer(call, node, outcome)
                return outcome
            failure, reply = outcome
            spare = spare or reply
            failures.append(NodeFailure(node.label, failure))
            if failure.kind == "budget":
                break
        if want.final and spare is not None:
            scope.degrade(f"{want.name}: {failures[0].failure.reason}")
            note_answer(call, want.node, spare)
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


def note_failure(call: OpenCall, failure: Failure) -> None:
    """Record why a subcall gave no answer."""
    call.status = "timed_out" if failure.kind == "timed_out" else "failed"
    call.error = failure.reason


async def _ask_node(scope: Scope, want: Want, node: Node, call: OpenCall) -> Reply | tuple[Failure, Reply | None]:
    inside = scope.below(call.id)
    request = attempt_request(inside, want, node)
    tries = 0
    while True:
        tries += 1
        outcome = await attempt_plain(inside, node, call, request)
        reply: Reply | None = None
        if not isinstance(outcome, Failure):
            attempt, reply = outcome
            unusable = final_shortcoming(reply) if want.final else why_unusable(reply)
            finish_with_reply(scope, attempt, reply, unusable)
            if unusable is None:
                return reply
            outcome = Failure("unusable", unusable)
        delay_s = wait_before_retry(scope, outcome, tries, node)
        if delay_s is None:
            note_next_step(call, "given up")
            return outcome, reply
        note_next_step(call, f"retry after {delay_s:.1f} s")
        await asyncio.sleep(delay_s)


def wait_before_retry(scope: Scope, failure: Failure, tries: int, node: Node) -> float | None:
    """Seconds until the next try of this node; None when it is not worth it or would outlast the run."""
    delay_s = delay_before_retry(failure, tries, node.num_retries)
    left = scope.time_left()
    return None if delay_s is None or (left is not None and delay_s >= left) else delay_s


def note_next_step(call: OpenCall, step: str) -> None:
    """Say in the record what followed the last attempt."""
    if call.attempts:
        call.attempts[-1].next_step = step


def why_unusable(reply: Reply) -> str | None:
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
    return "blank answer" if reply.finish_reason != "length" else "blank answer, cut off by max_tokens"


def final_shortcoming(reply: Reply) -> str | None:
    """Why a final reply is worth asking a fallback; None if it is an answer."""
    if reply.finish_reason == "content_filter":
        return "answer withheld by a content filter"
    message = reply.message
    if has_tool_calls(message) or message.get("refusal") or message.get("audio") or message.get("images"):
        return None
    return None if text_of(message.get("content")).strip() or reply.finish_reason == "length" else "blank answer"


def has_tool_calls(message: Message) -> bool:
    """Whether a message asks for tools."""
    return bool(message.get("tool_calls") or message.get("function_call"))
