from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.virtual_time import Deadlock, now, run


async def test_an_hour_of_waiting_takes_no_time() -> None:
    before = time.monotonic()
    await asyncio.sleep(3600)
    assert now() == 3600
    assert time.monotonic() - before < 5


async def test_timers_fire_in_their_order() -> None:
    order: list[float] = []

    async def later(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(now())

    await asyncio.gather(later(3), later(0.5), later(1))
    assert order == [0.5, 1, 3]


def test_a_deadlock_is_an_error() -> None:
    async def waits_forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock, match="waits_forever"):
        run(waits_forever())


async def test_the_clock_stands_still_while_a_thread_works() -> None:
    async with asyncio.timeout(0.001):
        assert await asyncio.to_thread(lambda: "done") == "done"
    assert now() == 0
