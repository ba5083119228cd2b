"""Limits and cancellation of whole runs in virtual time, plain and streamed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from composite_llm.backend.interface import Reply
from composite_llm.model.errors import QuorumNotMet, RunTimeout
from composite_llm.model.trace import Trace
from tests.support.benches import Bench, bench
from tests.support.scripted_backend import COST, Hang, Say, Script
from tests.support.virtual_time import now, other_tasks, turns

MODEL = "composite/council/chief"
RANKING = '{"ranking": ["Response A", "Response B"]}'
BEGUN = Hang(({"content": "The"},))

Form = Callable[[Bench], Awaitable[Any]]


async def plain(b: Bench) -> Reply:
    return await b.run.reply()


async def streamed(b: Bench) -> Any:
    return await b.items()


BOTH = pytest.mark.parametrize("form", [plain, streamed], ids=["plain", "streamed"])


def council(script: Script, **options: Any) -> Bench:
    """Members `a` and `b`, the reviewer `r`, the chairman `chief`; those that `script` leaves out answer after a second."""
    usual: Script = {
        "a": Say("alpha", after=1),
        "b": Say("beta", after=1),
        "r": Say(RANKING, after=1),
        "chief": Say("The answer", after=1),
    }
    chosen = {"members": ["a", "b"], "reviewers": ["r"], "exclude_self": False, **options}
    return bench(MODEL, {**usual, **script}, **chosen)


def statuses(trace: Trace) -> dict[str, str]:
    return {call.name: call.status for call in trace.calls}


def assert_nothing_left(b: Bench) -> None:
    assert other_tasks() == set()
    assert b.backend.in_flight == 0


HANGS = [
    pytest.param({"a": Hang(), "b": Hang()}, 0.5, {"a", "b"}, 2, id="proposing"),
    pytest.param({"a": Say("alpha", after=1), "b": Hang()}, 1.5, {"b"}, 2, id="one-is-done"),
    pytest.param({"chief": BEGUN}, 2.5, {"chief"}, 4, id="answering"),
]
HANGING_REVIEW: Script = {"r": Hang()}


@BOTH
@pytest.mark.parametrize(
    ("script", "at", "cut", "calls"), [*HANGS, pytest.param(HANGING_REVIEW, 1.5, {"r"}, 3, id="reviewing")]
)
async def test_a_cancelled_run_ends_every_subcall_without_a_timer_and_keeps_what_was_spent(
    form: Form, script: Script, at: float, cut: set[str], calls: int
) -> None:
    b = council(script)
    task = asyncio.ensure_future(form(b))
    await asyncio.sleep(at)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == at
    assert set(b.backend.cut) == cut
    assert_nothing_left(b)
    assert {name for name, status in statuses(b.trace).items() if status == "cancelled"} == cut
    assert len(b.trace.calls) == calls
    done = calls - len(cut)
    assert b.trace.usage.total_tokens >= 15 * done
    assert (b.trace.cost_usd == done * COST) or (form is streamed and cut == {"chief"})


async def _turns_to_cancel(members: int) -> int:
    names = [f"m{number}" for number in range(members)]
    b = bench("composite/moa/chief", {**dict.fromkeys(names, Hang()), "chief": Say()}, proposers=names)
    task = asyncio.ensure_future(b.run.reply())
    await asyncio.sleep(1)
    before = turns()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert_nothing_left(b)
    return turns() - before


async def test_many_members_are_cancelled_in_as_few_turns_of_the_loop_as_one() -> None:
    assert await _turns_to_cancel(64) == await _turns_to_cancel(1) < 20


@BOTH
@pytest.mark.parametrize(("script", "at", "cut", "calls"), HANGS)
async def test_the_runs_time_ends_every_subcall_at_its_moment(
    form: Form, script: Script, at: float, cut: set[str], calls: int
) -> None:
    b = council(script, timeout_s=60, quorum=2 if "b" in cut else 1)
    with pytest.raises(RunTimeout) as raised:
        await form(b)
    assert now() == 60
    assert_nothing_left(b)
    assert raised.value.trace is not None
    assert {name for name, status in statuses(raised.value.trace).items() if status == "cancelled"} == cut
    assert len(raised.value.trace.calls) == calls


@BOTH
async def test_a_review_that_hangs_has_its_share_of_the_runs_time_and_the_council_answers_without_it(
    form: Form,
) -> None:
    b = council(HANGING_REVIEW, timeout_s=61)
    await form(b)
    # The members took one second; half of the rest is the review's, and the chairman answers in one more.
    assert now() == 1 + 30 + 1
    assert statuses(b.trace) == {"a": "ok", "b": "ok", "r": "timed_out", "chief": "ok"}
    assert any(reason.startswith("no_ballot") for reason in b.trace.degraded)
    assert_nothing_left(b)


@BOTH
async def test_the_stages_time_counts_anew_in_every_stage(form: Form) -> None:
    script: Script = {"b": Hang(), "c": Say("gamma"), "r": Hang(), "s": Say(RANKING)}
    b = council(script, stage_timeout_s=5, members=["a", "b", "c"], reviewers=["r", "s"])
    await form(b)
    assert now() == 5 + 5 + 1
    assert statuses(b.trace) == {"a": "ok", "b": "timed_out", "c": "ok", "r": "timed_out", "s": "ok", "chief": "ok"}
    assert b.trace.usage.total_tokens == 4 * 15


@BOTH
async def test_a_stage_whose_members_all_hang_ends_with_its_time(form: Form) -> None:
    b = council({"a": Hang(), "b": Hang()}, stage_timeout_s=5)
    with pytest.raises(QuorumNotMet):
        await form(b)
    assert now() == 5
    assert statuses(b.trace) == {"a": "timed_out", "b": "timed_out"}
    assert_nothing_left(b)


@BOTH
async def test_a_nodes_time_ends_its_attempt_alone(form: Form) -> None:
    member = {"model": "b", "timeout": 3, "num_retries": 0, "fallbacks": ["spare"]}
    b = council({"b": Hang(), "spare": Say("gamma", after=1)}, members=["a", member])
    await form(b)
    assert now() == 3 + 1 + 1 + 1
    assert [(attempt.model, attempt.status) for attempt in b.trace.calls[1].attempts] == [
        ("b", "timed_out"),
        ("spare", "ok"),
    ]
    assert_nothing_left(b)
