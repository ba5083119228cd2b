"""What a composite adds to its calls, in function calls: a count that no busy machine changes much."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import litellm
from anyio.from_thread import BlockingPortal

from fake_server import ThreadedServer
from tests.support.asking import FINAL, FIRST, KEY, MESSAGES, MOA
from tests.support.work import counted

Ask = Callable[[], Awaitable[Any]]
TIMES = 5
PROPOSERS = 4


async def function_calls(ask: Ask) -> float:
    """Functions called on this loop for one question, LiteLLM's logging included."""
    await ask()
    with counted() as work:
        for _ in range(TIMES):
            await ask()
    return work.calls / TIMES


def connection(server: ThreadedServer) -> dict[str, Any]:
    return {"messages": MESSAGES, "api_base": server.base_url, "api_key": KEY}


async def composite(server: ThreadedServer) -> Any:
    return await litellm.acompletion(model=MOA, proposers=[FIRST] * PROPOSERS, **connection(server))


async def by_hand(server: ThreadedServer) -> Any:
    await asyncio.gather(*(litellm.acompletion(model=FIRST, **connection(server)) for _ in range(PROPOSERS)))
    return await litellm.acompletion(model=FINAL, **connection(server))


async def streamed(server: ThreadedServer, model: str, **options: Any) -> None:
    stream: Any = await litellm.acompletion(model=model, stream=True, **options, **connection(server))
    async for _ in stream:
        pass


def test_a_composite_takes_little_more_than_half_of_the_work_of_its_calls_by_hand(
    server: ThreadedServer, portal: BlockingPortal, nobody_listens: None
) -> None:
    own = portal.call(function_calls, partial(composite, server))
    hand = portal.call(function_calls, partial(by_hand, server))
    # Measured: 0.44 on LiteLLM 1.94, 0.42 on 1.106.2, 0.54 on 1.110.2, which does more by itself.
    assert own / hand < 0.6


def test_a_streamed_token_takes_half_of_the_work_of_litellms_own(
    server: ThreadedServer, portal: BlockingPortal
) -> None:
    def tokens_work(model: str, **options: Any) -> float:
        work = []
        for tokens in (20, 220):
            server.set_scenario("gpt-4o", {"text": "".join(f"{n:03x} " for n in range(tokens))})
            work.append(portal.call(function_calls, partial(streamed, server, model, **options)))
        return (work[1] - work[0]) / 200

    own, alone = tokens_work(MOA, proposers=[FIRST]), tokens_work(FINAL)
    # Measured: 0.39 on LiteLLM 1.94, 0.36 on 1.106.2 and 1.110.2, LiteLLM's second wrapper included, which every custom
    # provider gets.
    assert own / alone < 0.5
