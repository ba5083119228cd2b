from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from composite_llm.backend.interface import Chunk, Reply
from composite_llm.engine.breaker import Breakers
from composite_llm.engine.budget import Budget
from composite_llm.engine.final import final_call
from composite_llm.model.errors import BudgetExceeded, Failure, FinalCallFailed
from composite_llm.model.events import AttemptStarted, CallDone
from composite_llm.model.trace import Call
from composite_llm.model.usage import Usage
from tests.support.benches import Desk, collected, desk, streamed_text, subcall
from tests.support.scripted_backend import COST, USAGE, Fail, Hang, Say, ScriptedFacts, asking_for, failing
from tests.support.virtual_time import now

BOTH = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


def final(at: Desk, node: Any, *, streamed: bool, **more: Any) -> Any:
    wanted = subcall(node, stage="aggregate", role="aggregator", final=True, **more)
    return final_call(at.scope, wanted, streamed=streamed)


def the_call(at: Desk) -> Call:
    (call,) = at.trace().calls
    return call


def breaking(*pieces: dict[str, Any], after: float = 0, **failure: Any) -> Fail:
    return Fail(Failure(failure.pop("kind", "unavailable"), "connection lost", **failure), after, pieces)


@BOTH
async def test_plain_and_streamed_give_the_same_reply_record_and_money(streamed: bool) -> None:
    at = desk({"a": Say("The sky| is blue.", more={"reasoning_content": "hm"})})
    text, reply = await collected(final(at, "a", streamed=streamed))
    said = reply.message["content"].replace("|", "")
    assert (said, reply.usage, reply.cost_usd, reply.finish_reason) == ("The sky is blue.", USAGE, COST, "stop")
    assert reply.message["reasoning_content"] == "hm"
    assert text == (said if streamed else "")
    call = the_call(at)
    assert (call.status, call.usage, call.cost_usd, call.stage, call.role) == (
        "ok",
        USAGE,
        COST,
        "aggregate",
        "aggregator",
    )
    assert [type(event) for event in at.events] == [AttemptStarted, CallDone]
    assert at.scope.budget.spent_usd == COST


async def test_chunks_come_as_they_arrive_and_the_first_is_timed() -> None:
    at = desk({"a": Say("one|two", after=2, gap=1)})
    times = [(now(), streamed_text([item])) async for item in final(at, "a", streamed=True) if isinstance(item, Chunk)]
    assert [(moment, text) for moment, text in times if text] == [(3, "one"), (4, "two")]
    assert the_call(at).first_token_s == 2


@BOTH
async def test_a_failure_before_the_first_token_is_tried_again(streamed: bool) -> None:
    at = desk({"a": [failing("rate_limited", retry_after_s=3), Say("fine")]})
    _, reply = await collected(final(at, "a", streamed=streamed))
    assert reply.message["content"] == "fine"
    assert now() == 3
    assert [attempt.status for attempt in the_call(at).attempts] == ["failed", "ok"]
    assert the_call(at).attempts[0].next_step == "retry after 3.0 s"


async def test_a_stream_that_breaks_within_its_reasoning_is_tried_again() -> None:
    at = desk({"a": [breaking({"reasoning_content": "let me think"}), Say("fine")]})
    text, reply = await collected(final(at, "a", streamed=True))
    assert (text, reply.message["content"]) == ("fine", "fine")


@BOTH
async def test_a_fallback_answers_when_the_node_is_given_up(streamed: bool) -> None:
    at = desk({"a": failing("authentication"), "b": Say("from b")})
    _, reply = await collected(final(at, {"model": "a", "fallbacks": ["b"]}, streamed=streamed))
    assert reply.message["content"] == "from b"
    assert (the_call(at).model, the_call(at).status) == ("b", "ok")
    (reason,) = at.scope.recorder.degraded
    assert "b asked (no luck)" in reason


@BOTH
async def test_when_all_fail_the_error_lists_each_and_has_the_last_ones_status(streamed: bool) -> None:
    at = desk({"a": failing("rate_limited", "slow down"), "b": failing("authentication", "bad key")})
    node = {"model": "a", "num_retries": 0, "fallbacks": ["b"]}
    with pytest.raises(FinalCallFailed, match="the final call failed: a: slow down; b: bad key") as raised:
        await collected(final(at, node, streamed=streamed))
    assert (raised.value.status_code, raised.value.received_chars) == (502, 0)
    assert the_call(at).status == "failed"


@pytest.mark.parametrize(
    ("pieces", "chars"),
    [
        pytest.param([{"content": "The sky"}], 7, id="text"),
        pytest.param([{"reasoning_content": "hm"}, {"content": "ab"}], 2, id="text-after-reasoning"),
        pytest.param(
            [{"tool_calls": [{"index": 0, "id": "c", "function": {"name": "look", "arguments": ""}}]}], 4, id="tool"
        ),
        pytest.param([{"refusal": "No."}], 3, id="refusal"),
    ],
)
async def test_a_stream_that_breaks_within_its_answer_is_an_error_that_says_how_much_came(
    pieces: list[dict[str, Any]], chars: int
) -> None:
    at = desk({"a": breaking(*pieces), "b": Say()})
    seen: list[Any] = []

    async def read() -> None:
        async for item in final(at, {"model": "a", "fallbacks": ["b"]}, streamed=True):
            seen.append(item)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(FinalCallFailed, match=f"after {chars} characters of its answer: a: connection lost") as raised:
        await read()
    assert raised.value.received_chars == chars
    assert len(seen) == len(pieces)
    assert [request.model for request in at.backend.requests] == ["a"]
    (attempt,) = the_call(at).attempts
    assert attempt.next_step == "given up: part of the answer was already passed on"


FACTS = ScriptedFacts(prices={"a": 0.5})
TOOL = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "look", "arguments": '{"at": 1}'}}]}


@pytest.mark.parametrize(
    ("pieces", "completion"),
    [
        pytest.param([{"content": "one two "}, {"content": "three"}], 3, id="text"),
        pytest.param([{"reasoning_content": "one two"}], 2, id="reasoning"),
        pytest.param([TOOL], 3, id="tool-call"),
    ],
)
async def test_what_a_broken_stream_has_spent_is_estimated(pieces: list[dict[str, Any]], completion: int) -> None:
    at = desk({"a": breaking(*pieces, kind="rejected")}, facts=FACTS)
    with pytest.raises(FinalCallFailed):
        await collected(final(at, {"model": "a", "num_retries": 0}, streamed=True))
    (attempt,) = the_call(at).attempts
    assert attempt.estimated
    assert (attempt.usage.prompt_tokens, attempt.usage.completion_tokens) == (5, completion)
    assert attempt.cost_usd == (5 + completion) * 0.5 == at.scope.budget.spent_usd


async def test_an_estimate_without_a_price_makes_the_cost_unknown() -> None:
    at = desk({"a": breaking({"content": "one"})})
    with pytest.raises(FinalCallFailed):
        await collected(final(at, "a", streamed=True))
    assert the_call(at).cost_usd is None


@pytest.mark.parametrize(
    ("failure", "usage", "cost"),
    [
        pytest.param({}, Usage(), 0.0, id="nothing-came"),
        pytest.param({"usage": USAGE, "cost_usd": 0.5}, USAGE, 0.5, id="the-failure-tells-it"),
    ],
)
async def test_a_stream_that_failed_before_its_first_chunk_costs_what_its_failure_says(
    failure: dict[str, Any], usage: Usage, cost: float
) -> None:
    at = desk({"a": breaking(kind="rejected", **failure)}, facts=FACTS)
    with pytest.raises(FinalCallFailed):
        await collected(final(at, "a", streamed=True))
    (attempt,) = the_call(at).attempts
    assert (attempt.usage, attempt.cost_usd, attempt.estimated) == (usage, cost, False)


@pytest.mark.parametrize("pieces", [(), ({"content": "one two"},)], ids=["before-the-first-token", "within-the-answer"])
async def test_a_streams_node_has_its_timeout_as_a_whole(pieces: Any) -> None:
    at = desk({"a": Hang(pieces), "b": Say("from b")})
    node = {"model": "a", "timeout": 5, "num_retries": 0, "fallbacks": ["b"]}
    if pieces:
        with pytest.raises(FinalCallFailed, match="no reply within 5 s"):
            await collected(final(at, node, streamed=True))
    else:
        _, reply = await collected(final(at, node, streamed=True))
        assert reply.message["content"] == "from b"
    assert now() == 5
    assert the_call(at).attempts[0].status == "timed_out"
    assert at.backend.cut == ["a"]


async def test_the_runs_deadline_ends_a_stream() -> None:
    at = desk({"a": Hang(({"content": "one two"},))}, timeout_s=7, facts=FACTS)
    with pytest.raises(TimeoutError):
        await collected(final(at, {"model": "a", "timeout": 60}, streamed=True))
    assert now() == 7
    (attempt,) = the_call(at).attempts
    assert (attempt.status, attempt.usage.completion_tokens, at.backend.in_flight) == ("cancelled", 2, 0)


async def test_what_the_reader_does_with_a_chunk_is_not_on_the_nodes_time() -> None:
    at = desk({"a": Say("one|two|three", gap=1)})
    text = ""
    async for item in final(at, {"model": "a", "timeout": 6}, streamed=True):
        if isinstance(item, Chunk):
            text += streamed_text([item])
            await asyncio.sleep(100)
    assert text == "onetwothree"


async def test_the_nodes_time_goes_on_when_a_slow_reader_comes_back() -> None:
    at = desk({"a": Say("one|two|three", gap=3)})
    text = ""
    with pytest.raises(FinalCallFailed, match="no reply within 5 s"):  # noqa: PT012  # the stream is what raises
        async for item in final(at, {"model": "a", "timeout": 5, "num_retries": 0}, streamed=True):
            text += streamed_text([item])
            await asyncio.sleep(100)
    assert text == "one"
    assert now() == 205


async def test_closing_a_stream_closes_the_models_and_is_no_failure_of_it() -> None:
    breakers = Breakers()
    at = desk({"a": Say("one| two| three")}, facts=FACTS, breakers=breakers)
    for _ in range(6):
        async with contextlib.aclosing(final(at, "a", streamed=True)) as items:
            async for item in items:
                if streamed_text([item]):
                    break
    assert at.backend.cut == ["a"] * 6
    assert at.backend.in_flight == 0
    assert all(
        attempt.status == "cancelled" and attempt.estimated for call in at.trace().calls for attempt in call.attempts
    )
    assert breakers.refusal("a", "a:443") is None


@BOTH
async def test_a_blank_answer_is_a_failed_attempt_and_the_fallback_is_asked(streamed: bool) -> None:
    at = desk({"a": Say(""), "b": Say("from b")})
    _, reply = await collected(final(at, {"model": "a", "fallbacks": ["b"]}, streamed=streamed))
    assert reply.message["content"] == "from b"
    assert [(attempt.status, attempt.error) for attempt in the_call(at).attempts] == [
        ("failed", "blank answer"),
        ("failed", "blank answer"),
        ("ok", None),
    ]
    assert the_call(at).cost_usd == 3 * COST


@BOTH
async def test_a_blank_answer_is_returned_when_there_is_no_other(streamed: bool) -> None:
    at = desk({"a": Say("")})
    _, reply = await collected(final(at, "a", streamed=streamed))
    assert not reply.message["content"]
    assert the_call(at).status == "ok"
    assert any("blank answer" in reason for reason in at.scope.recorder.degraded)


async def test_a_filtered_answer_that_was_seen_is_passed_on_and_said_to_be_filtered() -> None:
    at = desk({"a": Say("half an ans", finish_reason="content_filter"), "b": Say()})
    text, reply = await collected(final(at, {"model": "a", "fallbacks": ["b"]}, streamed=True))
    assert (text, reply.finish_reason) == ("half an ans", "content_filter")
    assert any("content filter" in reason for reason in at.scope.recorder.degraded)


@BOTH
async def test_a_cap_forbids_the_final_call(streamed: bool) -> None:
    budget = Budget(max_calls=1)
    budget.start_call()
    at = desk({"a": Say(), "b": Say()}, budget=budget)
    with pytest.raises(BudgetExceeded, match="max_calls of 1"):
        await collected(final(at, {"model": "a", "fallbacks": ["b"]}, streamed=streamed))
    assert at.backend.requests == []


@BOTH
async def test_a_tool_call_is_an_answer(streamed: bool) -> None:
    at = desk({"a": asking_for(("c1", "look", '{"at": 1}'), ("c2", "see", "{}"))})
    _, reply = await collected(final(at, "a", streamed=streamed))
    assert isinstance(reply, Reply)
    assert [call["id"] for call in reply.message["tool_calls"]] == ["c1", "c2"]
    assert [call["function"]["arguments"] for call in reply.message["tool_calls"]] == ['{"at": 1}', "{}"]
    assert reply.finish_reason == "tool_calls"
