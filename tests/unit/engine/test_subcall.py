from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from composite_llm.backend.interface import Reply
from composite_llm.engine.budget import Budget
from composite_llm.engine.subcall import ask
from composite_llm.engine.subcall_request import SubcallRequest
from composite_llm.model.errors import FailureKind, NodeFailure
from composite_llm.model.trace import Call
from tests.support.benches import Desk, desk, subcall
from tests.support.scripted_backend import COST, Hang, Say, Step, asking_for, failing
from tests.support.virtual_time import now


async def asked(at: Desk, wanted: SubcallRequest) -> tuple[Reply | list[NodeFailure], Call]:
    call = at.scope.recorder.open_call(wanted.stage, wanted.role, wanted.name, wanted.node.model, None)
    outcome = await ask(at.scope, wanted, call)
    return outcome, at.scope.recorder.call_record(call)


def said(outcome: Reply | list[NodeFailure]) -> str | None:
    assert isinstance(outcome, Reply)
    content: str | None = outcome.message["content"]
    return content


async def test_an_answer_is_recorded_with_its_attempt() -> None:
    at = desk({"a": Say("fine", after=2)})
    outcome, call = await asked(at, subcall("a"))
    assert said(outcome) == "fine"
    assert (call.status, call.model, call.content, call.duration_s, call.cost_usd) == ("ok", "a", "fine", 2, COST)
    (attempt,) = call.attempts
    assert (attempt.status, attempt.endpoint, attempt.duration_s, attempt.next_step) == ("ok", "a:443", 2, None)


async def test_a_failed_attempt_is_tried_again_after_its_delay() -> None:
    at = desk({"a": [failing("rate_limited", retry_after_s=3), failing("rate_limited", retry_after_s=4), Say("ok")]})
    outcome, call = await asked(at, subcall("a"))
    assert said(outcome) == "ok"
    assert now() == 7
    assert [attempt.status for attempt in call.attempts] == ["failed", "failed", "ok"]
    assert [attempt.next_step for attempt in call.attempts] == ["retry after 3.0 s", "retry after 4.0 s", None]
    assert at.scope.recorder.degraded == []


async def test_a_rate_limited_model_is_tried_five_times_and_then_its_fallback() -> None:
    at = desk({"a": failing("rate_limited", retry_after_s=15), "b": Say("from b")})
    outcome, call = await asked(at, subcall({"model": "a", "num_retries": 99, "fallbacks": ["b"]}))
    assert said(outcome) == "from b"
    assert [attempt.model for attempt in call.attempts] == ["a"] * 5 + ["b"]
    assert now() == 4 * 15


async def test_a_provider_that_asks_for_more_than_fifteen_seconds_is_left_at_once() -> None:
    at = desk({"a": failing("rate_limited", retry_after_s=15.5), "b": Say("from b")})
    outcome, call = await asked(at, subcall({"model": "a", "num_retries": 99, "fallbacks": ["b"]}))
    assert said(outcome) == "from b"
    assert [attempt.model for attempt in call.attempts] == ["a", "b"]
    assert now() == 0


async def test_the_waits_between_tries_grow_within_their_bounds() -> None:
    at = desk({"a": failing("unavailable")})
    await asked(at, subcall({"model": "a", "num_retries": 7}))
    waits = [later - earlier for earlier, later in itertools.pairwise(at.backend.times)]
    assert len(waits) == 7
    assert all(0 <= wait <= most for wait, most in zip(waits, (1, 2, 4, 8, 16, 30, 30), strict=True))
    assert sum(waits) == pytest.approx(now())


async def test_a_nodes_retries_are_used_up_before_its_fallback_is_asked() -> None:
    at = desk({"a": failing("unavailable"), "b": Say("from b")})
    outcome, call = await asked(at, subcall({"model": "a", "num_retries": 2, "fallbacks": ["b"]}))
    assert said(outcome) == "from b"
    assert [attempt.model for attempt in call.attempts] == ["a", "a", "a", "b"]
    assert call.attempts[2].next_step == "given up: no retries left"
    assert (call.model, call.status) == ("b", "ok")
    (reason,) = at.scope.recorder.degraded
    assert "b asked (no luck)" in reason


@pytest.mark.parametrize("kind", ["rejected", "authentication", "not_found", "context_window", "content_policy"])
async def test_what_will_not_pass_goes_straight_to_the_fallback(kind: FailureKind) -> None:
    at = desk({"a": failing(kind), "b": Say("from b")})
    outcome, _ = await asked(at, subcall({"model": "a", "fallbacks": ["b"]}))
    assert said(outcome) == "from b"
    assert [request.model for request in at.backend.requests] == ["a", "b"]
    assert now() == 0


async def test_fallbacks_of_fallbacks_are_asked_in_order_until_one_answers() -> None:
    at = desk(
        {"a": failing("rejected"), "b": failing("rejected"), "c": Say("", after=0), "d": Say("from d"), "e": Say()}
    )
    node = {"model": "a", "fallbacks": [{"model": "b", "fallbacks": ["c"]}, "d", "e"]}
    outcome, _ = await asked(at, subcall(node))
    assert said(outcome) == "from d"
    assert [request.model for request in at.backend.requests] == ["a", "b", "c", "c", "d"]


async def test_when_all_fail_each_nodes_last_failure_is_told() -> None:
    at = desk({"a": failing("rejected", "bad"), "b": failing("not_found", "no such model")})
    outcome, call = await asked(at, subcall({"model": "a", "fallbacks": [{"model": "b", "name": "bee"}]}))
    assert isinstance(outcome, list)
    assert [str(failed) for failed in outcome] == ["a: bad", "bee: no such model"]
    assert (call.status, call.error, call.content) == ("failed", "no such model", None)


async def test_a_nodes_timeout_limits_each_attempt_and_not_its_retries() -> None:
    at = desk({"a": [Hang(), Hang(), Say("at last", after=1)]})
    outcome, call = await asked(at, subcall({"model": "a", "timeout": 5}))
    assert said(outcome) == "at last"
    assert [attempt.status for attempt in call.attempts] == ["timed_out", "timed_out", "ok"]
    assert [attempt.duration_s for attempt in call.attempts][:2] == [5, 5]
    assert at.backend.cut == ["a", "a"]


async def test_a_node_that_never_answers_has_timed_out() -> None:
    at = desk({"a": Hang()})
    outcome, call = await asked(at, subcall({"model": "a", "timeout": 5, "num_retries": 0}))
    assert isinstance(outcome, list)
    assert (outcome[0].failure.kind, call.status, now()) == ("timed_out", "timed_out", 5)
    assert "no reply within 5 s" in str(call.error)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        pytest.param(Say("", finish_reason="length"), "blank answer, cut off by max_tokens", id="cut-off"),
        pytest.param(Say("text", finish_reason="content_filter"), "withheld by a content filter", id="filtered"),
        pytest.param(Say(None, more={"refusal": "I cannot"}), "refused", id="refusal"),
        pytest.param(asking_for(("c", "f", "{}")), "only a tool call where text was needed", id="tool-call"),
        pytest.param(Say(None, more={"function_call": {"name": "f"}}), "only a tool call", id="function-call"),
    ],
)
async def test_an_unusable_answer_is_paid_for_and_not_asked_for_again(step: Step, reason: str) -> None:
    at = desk({"a": step, "b": Say("usable")})
    outcome, call = await asked(at, subcall({"model": "a", "fallbacks": ["b"]}))
    assert said(outcome) == "usable"
    assert [attempt.status for attempt in call.attempts] == ["failed", "ok"]
    assert reason in str(call.attempts[0].error)
    assert call.cost_usd == 2 * COST
    assert call.usage.total_tokens == 30


BLANK = pytest.mark.parametrize(
    "step",
    [
        pytest.param(Say(""), id="empty"),
        pytest.param(Say(" \n\t"), id="white-space"),
        pytest.param(Say(None), id="none"),
        pytest.param(Say(None, more={"reasoning_content": "hm"}), id="reasoning-alone"),
    ],
)


@BLANK
async def test_a_blank_answer_is_paid_for_and_asked_for_once_more_at_once(step: Step) -> None:
    at = desk({"a": [step, Say("usable")]})
    outcome, call = await asked(at, subcall("a"))
    assert said(outcome) == "usable"
    assert [(attempt.status, attempt.error) for attempt in call.attempts] == [("failed", "blank answer"), ("ok", None)]
    assert call.attempts[0].next_step == "retry after 0.0 s"
    assert [request.unique for request in at.backend.requests] == [False, True]
    assert (call.cost_usd, now()) == (2 * COST, 0)


@BLANK
async def test_a_second_blank_answer_is_the_last_whatever_the_retries(step: Step) -> None:
    at = desk({"a": step, "b": Say("usable")})
    outcome, call = await asked(at, subcall({"model": "a", "num_retries": 5, "fallbacks": ["b"]}))
    assert said(outcome) == "usable"
    assert [attempt.next_step for attempt in call.attempts] == ["retry after 0.0 s", "given up: blank twice", None]


async def test_without_retries_a_blank_answer_is_not_asked_for_again() -> None:
    at = desk({"a": Say(""), "b": Say("usable")})
    _, call = await asked(at, subcall({"model": "a", "num_retries": 0, "fallbacks": ["b"]}))
    assert [attempt.next_step for attempt in call.attempts] == ["given up: no retries left", None]


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(Say("cut", finish_reason="length"), id="cut-off-text"),
        pytest.param(asking_for(("c", "f", "{}"), text="with text"), id="text-beside-a-tool-call"),
        pytest.param(Say([{"type": "text", "text": "parts"}]), id="content-in-parts"),
    ],
)
async def test_text_is_usable_whatever_stands_beside_it(step: Step) -> None:
    outcome, call = await asked(desk({"a": step}), subcall("a"))
    assert isinstance(outcome, Reply)
    assert call.content


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(asking_for(("c", "f", "{}")), id="tool-call"),
        pytest.param(Say(None, more={"refusal": "I cannot"}), id="refusal"),
        pytest.param(Say("", finish_reason="length"), id="cut-off-before-its-first-token"),
    ],
)
async def test_a_final_call_may_answer_without_text(step: Step) -> None:
    at = desk({"a": step, "b": Say("not asked")})
    outcome, _ = await asked(at, subcall({"model": "a", "fallbacks": ["b"]}, final=True))
    assert isinstance(outcome, Reply)
    assert [request.model for request in at.backend.requests] == ["a"]


async def test_a_final_call_whose_answers_all_fall_short_returns_the_first_of_them() -> None:
    at = desk({"a": Say(" "), "b": failing("rejected")})
    outcome, call = await asked(at, subcall({"model": "a", "fallbacks": ["b"]}, final=True))
    assert said(outcome) == " "
    assert call.status == "ok"
    assert any("blank answer" in reason for reason in at.scope.recorder.degraded)


async def test_a_wait_that_would_outlast_the_run_is_not_begun() -> None:
    at = desk({"a": failing("rate_limited", retry_after_s=9), "b": Say("from b")}, timeout_s=9)
    outcome, _ = await asked(at, subcall({"model": "a", "fallbacks": ["b"]}))
    assert said(outcome) == "from b"
    assert now() == 0


async def test_a_cap_stops_retries_and_fallbacks() -> None:
    at = desk({"a": failing("rate_limited", retry_after_s=1), "b": Say()}, budget=Budget(max_calls=2))
    outcome, call = await asked(at, subcall({"model": "a", "fallbacks": ["b"], "num_retries": 9}))
    assert isinstance(outcome, list)
    assert [failed.failure.kind for failed in outcome] == ["budget"]
    assert len(at.backend.requests) == len(call.attempts) == 2


async def test_money_that_a_failed_attempt_cost_is_counted() -> None:
    at = desk({"a": failing("malformed", cost_usd=0.5), "b": Say(cost_usd=None)})
    _, call = await asked(at, subcall({"model": "a", "fallbacks": ["b"], "num_retries": 0}))
    assert [attempt.cost_usd for attempt in call.attempts] == [0.5, None]
    assert call.cost_usd is None
    assert at.scope.budget.spent_usd is None


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_no_more_attempts_are_in_flight_than_allowed(limit: int) -> None:
    at = desk(
        {"a": [failing("rate_limited", retry_after_s=1, after=1), Say(after=1)]}, limiter=asyncio.Semaphore(limit)
    )
    outcomes = await asyncio.gather(*(asked(at, subcall("a", name=f"a{n}")) for n in range(6)))
    assert all(isinstance(outcome, Reply) for outcome, _ in outcomes)
    assert at.backend.most_in_flight == limit


async def test_who_waits_to_be_tried_again_keeps_no_place_occupied() -> None:
    at = desk(
        {"a": [failing("rate_limited", retry_after_s=10), Say()], "b": Say(after=1)}, limiter=asyncio.Semaphore(1)
    )
    await asyncio.gather(asked(at, subcall("a")), asked(at, subcall("b")))
    assert at.backend.done == ["a", "b", "a"]
    assert now() == 10


async def test_a_nodes_time_does_not_run_while_it_waits_for_its_place() -> None:
    at = desk({"a": Say(after=4), "b": Say(after=4)}, limiter=asyncio.Semaphore(1))
    await asyncio.gather(*(asked(at, subcall({"model": m, "timeout": 5, "num_retries": 0})) for m in ("a", "b")))
    assert [call.status for call in at.trace().calls] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("first", "ends", "attempts"),
    [
        pytest.param(Say("first", after=1), 1, 1, id="quick-enough"),
        pytest.param(Say("first", after=9), 4, 2, id="overtaken"),
        pytest.param(Say("first", after=3), 3, 2, id="first-after-all"),
        pytest.param(Hang(), 4, 2, id="hung"),
    ],
)
async def test_a_slow_attempt_is_hedged_by_a_second_one(first: Any, ends: float, attempts: int) -> None:
    at = desk({"a": [first, Say("second", after=2)]})
    outcome, call = await asked(at, subcall({"model": "a", "hedge_after_s": 2}))
    assert isinstance(outcome, Reply)
    assert now() == ends
    assert len(call.attempts) == attempts
    assert at.backend.in_flight == 0
