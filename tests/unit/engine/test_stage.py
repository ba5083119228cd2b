from __future__ import annotations

import asyncio
from typing import Any

import pytest

from composite_llm.engine.budget import Budget
from composite_llm.engine.stage import StagePolicy, run_stage
from composite_llm.model.errors import BudgetExceeded, InvalidOption, QuorumNotMet
from composite_llm.model.events import CallDone, Degraded, StageDone, StageStarted
from tests.support.benches import Desk, bench, call_named, desk, subcall
from tests.support.scripted_backend import COST, Hang, Say, Script, failing
from tests.support.virtual_time import now, other_tasks

ONE_TRY = {"num_retries": 0}


def subcalls(*models: str) -> list[Any]:
    return [subcall({"model": model, **ONE_TRY}) for model in models]


async def stage(at: Desk, *models: str, **policy: Any) -> list[str]:
    return [answer.name for answer in await run_stage(at.scope, subcalls(*models), StagePolicy(**policy))]


def statuses(at: Desk) -> dict[str, str]:
    return {call.name: call.status for call in at.trace().calls}


async def test_all_are_asked_at_once_and_answer_in_configuration_order() -> None:
    at = desk({"a": Say("A", after=3), "b": Say("B", after=1), "c": Say("C", after=2)})
    answers = await run_stage(at.scope, subcalls("a", "b", "c"), StagePolicy())
    assert [(answer.name, answer.text, answer.index) for answer in answers] == [
        ("a", "A", 0),
        ("b", "B", 1),
        ("c", "C", 2),
    ]
    assert now() == 3
    assert at.backend.done == ["b", "c", "a"]
    assert at.scope.recorder.degraded == []


async def test_events_tell_start_each_member_as_it_is_done_and_the_end() -> None:
    at = desk({"a": Say(after=2), "b": Say(after=1), "c": failing("rejected", after=3)})
    await stage(at, "a", "b", "c")
    assert at.events[0] == StageStarted("propose", ("a", "b", "c"))
    assert [event.call.name for event in at.events if isinstance(event, CallDone)] == ["b", "a", "c"]
    (done,) = [event for event in at.events if isinstance(event, StageDone)]
    assert (done.stage, done.usage.total_tokens, done.cost_usd) == ("propose", 30, 2 * COST)
    assert isinstance(at.events[-1], Degraded)


async def test_a_failed_member_is_missing_from_the_answers_and_said_to_be() -> None:
    at = desk({"a": Say("A"), "b": failing("rejected", "bad request"), "c": Say("C")})
    answers = await run_stage(at.scope, subcalls("a", "b", "c"), StagePolicy(quorum=2))
    assert [(answer.name, answer.index) for answer in answers] == [("a", 0), ("c", 2)]
    (reason,) = at.scope.recorder.degraded
    assert "propose: b" in reason
    assert "bad request" in reason


async def test_without_limits_a_stage_waits_for_its_slowest_member() -> None:
    at = desk({"a": Say(), "b": Say(after=5000)})
    assert await stage(at, "a", "b") == ["a", "b"]
    assert now() == 5000


@pytest.mark.parametrize(
    ("policy", "ends", "names", "late"),
    [
        pytest.param({"straggler_grace_s": 2}, 3, ["a"], "abandoned", id="grace-after-the-quorum"),
        pytest.param({"straggler_grace_s": 0}, 1, ["a"], "abandoned", id="no-grace"),
        pytest.param({"straggler_grace_s": 4.5}, 5, ["a", "b"], "ok", id="grace-that-suffices"),
        pytest.param({"straggler_grace_s": 2, "quorum": 2}, 5, ["a", "b"], "ok", id="quorum-of-all"),
        pytest.param(
            {"straggler_grace_s": 9, "stage_timeout_s": 3}, 3, ["a"], "timed_out", id="stage-timeout-in-grace"
        ),
        pytest.param(
            {"straggler_grace_s": 1, "stage_timeout_s": 3}, 2, ["a"], "abandoned", id="grace-in-stage-timeout"
        ),
        pytest.param({"stage_timeout_s": 3}, 3, ["a"], "timed_out", id="stage-timeout-alone"),
    ],
)
async def test_once_the_quorum_is_in_the_rest_gets_its_grace(
    policy: dict[str, Any], ends: float, names: list[str], late: str
) -> None:
    at = desk({"a": Say(after=1), "b": Say(after=5)})
    assert await stage(at, "a", "b", **policy) == names
    assert now() == ends
    assert statuses(at)["b"] == late
    assert at.backend.cut == ([] if "b" in names else ["b"])


@pytest.mark.parametrize("quorum", [1, 2, 3])
async def test_hung_members_end_together_with_the_stages_time(quorum: int) -> None:
    at = desk({"a": Hang(), "b": Hang(), "c": Hang()})
    with pytest.raises(QuorumNotMet, match=f"stage 'propose' needs {quorum} usable answers?, got 0") as raised:
        await stage(at, "a", "b", "c", stage_timeout_s=10, quorum=quorum)
    assert now() == 10
    assert [failed.name for failed in raised.value.failures] == ["a", "b", "c"]
    assert set(statuses(at).values()) == {"timed_out"}
    assert sorted(at.backend.cut) == ["a", "b", "c"]


async def test_the_quorum_coming_in_at_the_end_of_the_stages_time_counts() -> None:
    at = desk({"a": Say(after=10), "b": Hang()})
    outcome = await asyncio.gather(stage(at, "a", "b", stage_timeout_s=10, straggler_grace_s=5), return_exceptions=True)
    assert isinstance(outcome[0], list | QuorumNotMet)
    assert now() == 10


async def test_one_hung_member_does_not_sink_a_stage_with_a_timeout() -> None:
    at = desk({"a": Say("A", after=1), "b": Hang()})
    assert await stage(at, "a", "b", stage_timeout_s=10) == ["a"]
    assert now() == 10


async def test_a_stage_ends_at_once_when_its_quorum_cannot_be_met_any_more() -> None:
    at = desk({"a": failing("rejected", after=2), "b": Say(after=50), "c": Hang()})
    with pytest.raises(QuorumNotMet) as raised:
        await stage(at, "a", "b", "c", quorum=3)
    assert now() == 2
    assert raised.value.status_code == 400
    assert statuses(at) == {"a": "failed", "b": "abandoned", "c": "abandoned"}
    assert "b: cut off: the quorum could no longer be met" in str(raised.value)
    assert {attempt.status for attempt in call_named(at.trace(), "b").attempts} == {"abandoned"}


async def test_an_answer_that_comes_with_a_failure_does_not_save_an_impossible_quorum() -> None:
    at = desk({"a": failing("rejected", after=2), "b": Say(after=2), "c": Say(after=2)})
    with pytest.raises(QuorumNotMet, match="needs 3 usable answers, got 2"):
        await stage(at, "a", "b", "c", quorum=3)


@pytest.mark.parametrize(
    ("timeout_s", "stages_left", "ends"),
    [(30, 2, 15), (30, 3, 10), (None, 2, None)],
    ids=["half", "third", "no-timeout-of-the-run"],
)
async def test_a_stage_with_its_quorum_may_use_its_share_of_the_runs_time(
    timeout_s: float | None, stages_left: int, ends: float | None
) -> None:
    at = desk({"a": Say(after=1), "b": Say(after=100)}, timeout_s=timeout_s)
    names = await stage(at, "a", "b", stages_left=stages_left)
    assert names == (["a"] if ends else ["a", "b"])
    assert now() == (ends or 100)


async def test_without_its_quorum_a_stage_may_use_more_than_its_share() -> None:
    at = desk({"a": Say(after=20), "b": Say(after=25)}, timeout_s=30)
    assert await stage(at, "a", "b", stages_left=2) == ["a"]
    assert now() == 20


async def test_a_stage_timeout_takes_the_place_of_the_share() -> None:
    at = desk({"a": Say(after=1), "b": Say(after=25)}, timeout_s=30)
    assert await stage(at, "a", "b", stages_left=2, stage_timeout_s=28) == ["a", "b"]


async def test_a_cancelled_stage_leaves_no_task_and_says_what_was_cancelled() -> None:
    at = desk({"a": Say(after=1), "b": Hang(), "c": Hang()})
    running = asyncio.create_task(run_stage(at.scope, subcalls("a", "b", "c"), StagePolicy(quorum=3)))
    await asyncio.sleep(2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert other_tasks() == set()
    assert at.backend.in_flight == 0
    assert statuses(at) == {"a": "ok", "b": "cancelled", "c": "cancelled"}
    assert [attempt.status for attempt in call_named(at.trace(), "b").attempts] == ["cancelled"]


async def test_a_callers_own_mistake_ends_the_stage_and_its_siblings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_KEY", raising=False)
    at = desk({"a": Hang()})
    asked = [*subcalls("a"), subcall({"model": "b", "api_key": "os.environ/NODE_KEY"})]
    with pytest.raises(InvalidOption, match="NODE_KEY"):
        await run_stage(at.scope, asked, StagePolicy())
    assert other_tasks() == set()
    assert at.backend.in_flight == 0


async def test_a_member_in_its_back_off_is_abandoned_too() -> None:
    at = desk({"a": Say(after=1), "b": failing("rate_limited", retry_after_s=15)})
    asked = [*subcalls("a"), subcall({"model": "b"})]
    answers = await run_stage(at.scope, asked, StagePolicy(straggler_grace_s=1))
    assert [answer.name for answer in answers] == ["a"]
    assert now() == 2
    assert statuses(at)["b"] == "abandoned"
    assert [attempt.status for attempt in call_named(at.trace(), "b").attempts] == ["failed"]


async def test_a_wait_that_would_outlast_the_stage_is_not_begun_and_the_fallback_is_asked_instead() -> None:
    at = desk({"a": failing("rate_limited", retry_after_s=9), "b": Say("from b", after=2)})
    (answer,) = await run_stage(
        at.scope, [subcall({"model": "a", "fallbacks": ["b"]})], StagePolicy(stage_timeout_s=8, straggler_grace_s=1)
    )
    assert answer.text == "from b"
    assert now() == 2


async def test_a_nested_runs_stages_share_the_time_of_the_stage_it_is_in() -> None:
    inner = {"model": "composite/moa/c", "proposers": ["quick", "hung"], "name": "inner"}
    script: Script = {"quick": Say("Q", after=1), "hung": Hang(), "c": Say("C", after=1), "z": "Z"}
    at = bench("composite/moa/z", script, proposers=[inner], stage_timeout_s=10)
    assert await at.text() == "Z"
    assert at.trace.calls[0].content == "C"
    assert now() == 6


@pytest.mark.parametrize(
    ("script", "quorum", "error"),
    [
        pytest.param({"a": Say(), "b": Say(), "c": Say()}, 3, BudgetExceeded, id="cap-is-the-reason"),
        pytest.param({"a": failing("rejected"), "b": failing("rejected"), "c": Say()}, 1, BudgetExceeded, id="mixed"),
        pytest.param({"a": Say(), "b": Say(), "c": Say()}, 2, None, id="enough-under-the-cap"),
    ],
)
async def test_a_stage_that_its_cap_leaves_short_says_so(
    script: Script, quorum: int, error: type[Exception] | None
) -> None:
    at = desk(script, budget=Budget(max_calls=2))
    if error is None:
        assert len(await stage(at, "a", "b", "c", quorum=quorum)) == 2
        assert any("max_calls of 2" in reason for reason in at.scope.recorder.degraded)
    else:
        with pytest.raises(error, match="max_calls of 2"):
            await stage(at, "a", "b", "c", quorum=quorum)
    assert len(at.backend.requests) == 2


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["rate_limited", "rate_limited"], 429),
        (["rejected", "rejected"], 400),
        (["context_window", "context_window"], 400),
        (["authentication", "authentication"], 502),
        (["rejected", "rate_limited"], 503),
    ],
    ids=str,
)
async def test_members_that_failed_alike_give_the_stage_their_status(kinds: list[Any], status: int) -> None:
    at = desk({"a": failing(kinds[0]), "b": failing(kinds[1])})
    with pytest.raises(QuorumNotMet) as raised:
        await stage(at, "a", "b")
    assert raised.value.status_code == status
