"""Limits of a minute, and what a provider says of them, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from composite_llm.evaluate.asking import Reply
from composite_llm.evaluate.pace import Pace
from tests.support.virtual_time import now


def sender(*replies: Reply, takes_s: float = 0.0) -> tuple[Callable[[], Awaitable[Reply]], list[float]]:
    """Gives the replies one after the other, the last one for ever; and notes when it was asked."""
    asked: list[float] = []

    async def send() -> Reply:
        asked.append(now())
        await asyncio.sleep(takes_s)
        return replies[min(len(asked), len(replies)) - 1]

    return send, asked


OK = Reply("fine", 1.0, cost_usd=0.5, prompt_tokens=60, completion_tokens=40)


def refused(status: int, retry_after_s: float | None = None) -> Reply:
    return Reply("", 1.0, cost_usd=0.25, error="no", status_code=status, retry_after_s=retry_after_s)


async def test_no_more_calls_begin_in_a_minute_than_may() -> None:
    send, asked = sender(OK)
    pace = Pace(rpm=3)
    await asyncio.gather(*(pace.ask(send) for _ in range(7)))
    assert asked == [0, 0, 0, 60, 60, 60, 120]


async def test_a_request_of_many_calls_takes_its_part_of_the_minute() -> None:
    send, asked = sender(OK)
    pace = Pace(rpm=10)
    for _ in range(3):
        await pace.ask(send, calls=4)
    # One of more calls than a minute has waits for an empty one, not for ever.
    await pace.ask(send, calls=40)
    assert asked == [0, 0, 60, 120]


async def test_no_more_tokens_of_a_minute_are_used_than_may() -> None:
    send, asked = sender(OK)
    pace = Pace(tpm=250)
    for _ in range(5):
        await pace.ask(send)
    assert asked == [0, 0, 60, 60, 120]


async def test_after_a_refusal_nobody_begins_before_the_time_that_was_named() -> None:
    send, asked = sender(refused(429, retry_after_s=30), OK)
    other, others = sender(OK)
    pace = Pace()
    reply = await pace.ask(send)
    assert asked == [0, 30]
    assert (reply.text, reply.cost_usd, reply.calls) == ("fine", 0.75, 2)
    again, refusals = sender(refused(429, retry_after_s=20), OK)
    await asyncio.gather(pace.ask(again), _later(5, pace, other))
    assert refusals == [30, 50]
    assert others == [50]


async def _later(seconds: float, pace: Pace, send: Callable[[], Awaitable[Reply]]) -> None:
    await asyncio.sleep(seconds)
    await pace.ask(send)


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_a_failure_that_passes_is_tried_again_and_holds_nobody_else_up(status: int) -> None:
    send, asked = sender(refused(status), refused(status), OK)
    other, others = sender(OK)
    pace = Pace()
    reply, _ = await asyncio.gather(pace.ask(send), _later(0.25, pace, other))
    assert reply.error is None
    assert 0.5 <= asked[1] <= 1.0
    assert 1.0 <= asked[2] - asked[1] <= 2.0
    assert others == [0.25]


async def test_it_gives_up_after_some_tries_with_what_they_cost() -> None:
    send, asked = sender(refused(503))
    reply = await Pace(max_tries=3).ask(send)
    assert len(asked) == 3
    assert (reply.status_code, reply.cost_usd) == (503, 0.75)


@pytest.mark.parametrize("status", [200, 400, 401, 402, 404])
async def test_what_would_fail_again_is_sent_once(status: int) -> None:
    send, asked = sender(refused(status))
    await Pace().ask(send)
    assert asked == [0]
