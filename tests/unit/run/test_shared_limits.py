"""Several runs of one request use up the strictest of their caps together."""

from __future__ import annotations

import pytest

from composite_llm.model.errors import BudgetExceeded, CompositeError, RunTimeout
from composite_llm.run import SharedLimits
from tests.support.benches import Bench, bench
from tests.support.scripted_backend import COST, Hang, Say, Script, failing
from tests.support.virtual_time import now

MODEL = "composite/moa/chief"
BROKEN: Script = {"a": Say("alpha", after=1), "chief": failing("unavailable")}
WELL: Script = {"a": Say("alpha", after=1), "chief": Say("The answer", after=1)}


def moa(script: Script, shared: SharedLimits, **options: object) -> Bench:
    given = {"proposers": ["a"], "aggregator": {"num_retries": 0}, **options}
    return bench(MODEL, script, shared=shared, **given)


async def _fails(b: Bench) -> CompositeError:
    with pytest.raises(CompositeError) as caught:
        await b.run.reply()
    return caught.value


async def test_calls_of_an_earlier_run_count_against_the_cap_of_the_next() -> None:
    shared = SharedLimits()
    await _fails(moa(BROKEN, shared, max_calls=3))
    second = moa(WELL, shared, max_calls=3)
    assert await second.text() == "The answer"
    assert [request.model for request in second.backend.requests] == ["chief"]
    third = moa(WELL, shared, max_calls=3)
    error = await _fails(third)
    assert isinstance(error, BudgetExceeded)
    assert "max_calls" in error.message
    assert third.backend.requests == []


async def test_money_of_an_earlier_run_counts_against_the_cap_of_the_next() -> None:
    shared = SharedLimits()
    await moa(WELL, shared, max_cost_usd=2 * COST, allow_unpriced=True).text()
    second = moa(WELL, shared, max_cost_usd=2 * COST, allow_unpriced=True)
    assert isinstance(await _fails(second), BudgetExceeded)
    assert second.backend.requests == []


async def test_the_strictest_cap_so_far_holds_for_a_run_that_has_none() -> None:
    shared = SharedLimits()
    await _fails(moa(BROKEN, shared, max_calls=2))
    assert isinstance(await _fails(moa(WELL, shared)), BudgetExceeded)


async def test_a_run_without_caps_is_not_held_by_what_others_used() -> None:
    shared = SharedLimits()
    await _fails(moa(BROKEN, shared))
    assert await moa(WELL, shared).text() == "The answer"


@pytest.mark.parametrize("form", ["plain", "streamed"])
async def test_the_operators_time_is_the_requests_not_each_runs(form: str) -> None:
    shared = SharedLimits()
    script: Script = {"a": Say("alpha", after=1), "chief": Hang()}
    begun = now()
    for _ in range(3):
        b = bench(MODEL, script, proposers=["a"], shared=shared, timeout_s=5, operators_timeout_s=5)
        with pytest.raises(RunTimeout):
            await (b.run.reply() if form == "plain" else b.items())
    assert now() - begun == 5


async def test_a_clients_own_short_time_says_nothing_about_the_next_run() -> None:
    shared = SharedLimits()
    first = bench(MODEL, {**WELL, "chief": Hang()}, proposers=["a"], shared=shared, timeout_s=2)
    assert isinstance(await _fails(first), RunTimeout)
    second = bench(MODEL, WELL, proposers=["a"], shared=shared, timeout_s=30)
    assert await second.text() == "The answer"
