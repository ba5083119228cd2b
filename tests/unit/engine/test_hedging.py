from __future__ import annotations

import asyncio
from typing import Any

import pytest

from composite_llm.backend.interface import Reply
from composite_llm.engine.budget import Budget
from composite_llm.engine.final import final_call
from composite_llm.engine.subcall import ask
from composite_llm.model.errors import FinalCallFailed, NodeFailure
from composite_llm.model.trace import Call
from tests.support.benches import Desk, bench, collected, desk, subcall
from tests.support.scripted_backend import COST, USAGE, Fail, Hang, Say, failing
from tests.support.virtual_time import now, other_tasks


async def asked(at: Desk, **node: Any) -> tuple[str | list[NodeFailure], Call]:
    wanted = subcall({"model": "a", "num_retries": 0, "hedge_after_s": 2, **node})
    call = at.scope.recorder.open_call(wanted.stage, wanted.role, wanted.name, "a", None)
    outcome = await ask(at.scope, wanted, call)
    text = outcome.message["content"] if isinstance(outcome, Reply) else outcome
    return text, at.scope.recorder.call_record(call)


async def test_a_second_attempt_leaves_only_after_its_time() -> None:
    at = desk({"a": [Hang(), Say("second", after=3)]})
    text, call = await asked(at)
    assert text == "second"
    assert at.backend.times[1] - at.backend.times[0] == 2
    assert now() == 5
    assert [attempt.status for attempt in call.attempts] == ["abandoned", "ok"]
    assert call.attempts[0].next_step == "hedged after 2 s"


async def test_the_second_attempt_is_the_same_but_for_the_response_cache() -> None:
    at = desk({"a": [Hang(), Say()]})
    await asked(at, temperature=0.5)
    first, second = at.backend.requests
    assert (first.unique, second.unique) == (False, True)
    assert (first.messages, first.params, first.metadata) == (second.messages, second.params, second.metadata)


async def test_a_quick_failure_is_not_hedged() -> None:
    at = desk({"a": failing("rejected", after=1)})
    outcome, call = await asked(at)
    assert isinstance(outcome, list)
    assert len(call.attempts) == 1


async def test_an_unusable_first_answer_leaves_the_second_its_time() -> None:
    at = desk({"a": [Say("", after=3), Say("usable", after=4)]})
    text, call = await asked(at)
    assert text == "usable"
    assert now() == 6
    assert [attempt.cost_usd for attempt in call.attempts] == [COST, COST]


async def test_a_first_failure_after_the_hedge_leaves_the_second_its_time() -> None:
    at = desk({"a": [failing("unavailable", after=3), Say("second", after=4)]})
    text, call = await asked(at)
    assert text == "second"
    assert [attempt.status for attempt in call.attempts] == ["failed", "ok"]


async def test_when_both_fail_the_node_has_failed_once() -> None:
    at = desk({"a": [failing("unavailable", after=3), failing("rejected", "second", after=4)], "b": Say("from b")})
    text, call = await asked(at, fallbacks=["b"])
    assert text == "from b"
    assert [attempt.model for attempt in call.attempts] == ["a", "a", "b"]


async def test_each_attempt_has_the_nodes_whole_timeout() -> None:
    at = desk({"a": Hang()})
    outcome, call = await asked(at, timeout=5)
    assert isinstance(outcome, list)
    assert now() == 7
    assert [attempt.duration_s for attempt in call.attempts] == [5, 5]


async def test_a_hedge_is_one_more_call_of_the_budget_and_is_not_made_over_it() -> None:
    at = desk({"a": Say("late", after=5)}, budget=Budget(max_calls=1))
    text, call = await asked(at)
    assert text == "late"
    assert len(at.backend.requests) == len(call.attempts) == 1
    assert at.scope.budget.calls == 1


async def test_a_hedge_waits_for_its_place_among_those_in_flight() -> None:
    at = desk({"a": [Say("first", after=9), Say("never needed")]}, limiter=asyncio.Semaphore(1))
    text, _ = await asked(at)
    assert text == "first"
    assert at.backend.most_in_flight == 1


async def test_both_are_ended_when_the_stage_cuts_the_node_off() -> None:
    at = bench(
        "composite/moa/z",
        {"a": Hang(), "b": Say("B", after=1), "z": "Z"},
        proposers=[{"model": "a", "hedge_after_s": 2}, "b"],
        straggler_grace_s=4,
    )
    assert await at.text() == "Z"
    assert now() == 5
    call = at.trace.calls[0]
    assert (call.status, [attempt.status for attempt in call.attempts]) == ("abandoned", ["abandoned", "abandoned"])
    assert at.backend.cut == ["a", "a"]
    assert other_tasks() == set()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_cancelling_the_run_ends_both(stream: bool) -> None:
    at = bench("composite/moa/z", {"a": Hang(), "z": "Z"}, proposers=[{"model": "a", "hedge_after_s": 2}])
    running = asyncio.ensure_future(at.items() if stream else at.run.reply())
    await asyncio.sleep(3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert at.backend.cut == ["a", "a"]
    assert [attempt.status for attempt in at.trace.calls[0].attempts] == ["cancelled", "cancelled"]
    assert other_tasks() == set()


# --- a streamed final call -----------------------------------------------------------------------------------------


async def streamed(at: Desk, **node: Any) -> tuple[str, Call]:
    wanted = subcall({"model": "a", "num_retries": 0, "hedge_after_s": 2, **node}, stage="aggregate", final=True)
    text, _ = await collected(final_call(at.scope, wanted, streamed=True))
    (call,) = at.trace().calls
    return text, call


async def test_a_stream_that_has_not_begun_is_hedged_and_the_first_to_answer_goes_on() -> None:
    at = desk({"a": [Hang(), Say("sec|ond", after=3, gap=1)]})
    text, call = await streamed(at)
    assert text == "second"
    assert at.backend.times[1] - at.backend.times[0] == 2
    assert [attempt.status for attempt in call.attempts] == ["abandoned", "ok"]
    assert (call.usage, call.cost_usd) == (USAGE, COST)
    assert [request.unique for request in at.backend.requests] == [False, True]
    assert at.backend.cut == ["a"]
    assert other_tasks() == set()


async def test_a_stream_that_has_begun_is_not_hedged_however_slow_its_rest() -> None:
    at = desk({"a": Say(after=1, gap=60, deltas=[{"content": "slow"}, {"content": "ly"}])})
    text, call = await streamed(at)
    assert text == "slowly"
    assert len(call.attempts) == 1


async def test_the_first_stream_may_still_begin_before_the_second() -> None:
    at = desk({"a": [Say("first", after=3), Say("second", after=9)]})
    text, call = await streamed(at)
    assert text == "first"
    assert now() == 3
    assert [attempt.status for attempt in call.attempts] == ["ok", "abandoned"]


async def test_reasoning_is_no_beginning_of_an_answer_and_what_it_cost_is_counted() -> None:
    thoughts = [{"role": "assistant"}, {"reasoning_content": "hm well so"}]
    at = desk({"a": [Hang(thoughts), Say("second", after=1)]})
    text, call = await streamed(at)
    assert text == "second"
    assert (call.attempts[0].estimated, call.attempts[0].usage.completion_tokens) == (True, 3)


async def test_a_stream_that_fails_leaves_the_other_its_time() -> None:
    at = desk({"a": [failing("unavailable", after=3), Say("second", after=4)]})
    text, call = await streamed(at)
    assert text == "second"
    assert [attempt.status for attempt in call.attempts] == ["failed", "ok"]


async def test_a_blank_stream_leaves_the_other_its_time() -> None:
    at = desk({"a": [Say("", after=3), Say("second", after=4)]})
    text, _ = await streamed(at)
    assert text == "second"


async def test_when_both_streams_fail_the_fallback_is_asked() -> None:
    at = desk({"a": [failing("unavailable", after=3), failing("rejected", after=4)], "b": Say("from b")})
    text, call = await streamed(at, fallbacks=["b"])
    assert text == "from b"
    assert [attempt.model for attempt in call.attempts] == ["a", "a", "b"]


async def test_a_hedged_stream_that_breaks_within_its_answer_is_an_error() -> None:
    at = desk({"a": [Hang(), Fail(failing("unavailable").failure, 1, [{"content": "half an"}])]})
    with pytest.raises(FinalCallFailed, match="after 7 characters"):
        await streamed(at)


async def test_the_runs_time_ends_both_streams() -> None:
    at = desk({"a": Hang()}, timeout_s=5)
    with pytest.raises(TimeoutError):
        await streamed(at)
    assert now() == 5
    assert at.backend.cut == ["a", "a"]
    assert other_tasks() == set()


@pytest.mark.parametrize("after", [3, 5], ids=["while both are silent", "while one answers"])
async def test_closing_the_run_ends_both_streams(after: float) -> None:
    at = bench(
        "composite/moa/z",
        {"a": "A", "z": [Hang(), Say(after=2, gap=60, deltas=[{"content": "never"}, {"content": "read"}])]},
        proposers=["a"],
        aggregator={"hedge_after_s": 2},
    )
    running = asyncio.ensure_future(at.items())
    await asyncio.sleep(after)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert at.backend.cut == ["z", "z"]
    assert other_tasks() == set()
