from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composite_llm.backend.interface import Chunk, Reply
from composite_llm.model.errors import (
    BudgetExceeded,
    CompositeError,
    FinalCallFailed,
    InvalidOption,
    QuorumNotMet,
    RunTimeout,
)
from composite_llm.model.events import CallDone, StageStarted
from composite_llm.model.trace import Trace
from composite_llm.model.usage import total_cost, total_usage
from tests.support import virtual_time
from tests.support.benches import QUESTION, Bench, bench, call_named, streamed_text
from tests.support.scripted_backend import COST, Fail, Hang, Say, Script, ScriptedFacts, asking_for, failing
from tests.support.virtual_time import now, other_tasks

MODEL = "composite/moa/chief"
SCRIPT: Script = {"a": Say("alpha", after=1), "b": Say("beta", after=2), "chief": Say("The| answer", after=1)}
TOOLS = [{"type": "function", "function": {"name": "look"}}]


async def plain(b: Bench) -> Reply:
    return await b.run.reply()


async def streamed(b: Bench) -> Reply:
    items = await b.items()
    assert isinstance(items[-1], Reply)
    return items[-1]


BOTH = pytest.mark.parametrize("form", [plain, streamed], ids=["plain", "streamed"])
Form = Callable[[Bench], Awaitable[Reply]]


def assert_sums(trace: Trace) -> None:
    """The run's money and tokens are those of its calls, and theirs are those of their attempts."""
    assert trace.usage == total_usage(call.usage for call in trace.calls)
    assert trace.cost_usd == total_cost(call.cost_usd for call in trace.calls)
    for call in trace.calls:
        assert call.usage == total_usage(attempt.usage for attempt in call.attempts)
        assert call.cost_usd == total_cost(attempt.cost_usd for attempt in call.attempts)
    assert {call.parent_id for call in trace.calls} <= {None, *(call.id for call in trace.calls)}
    assert len({call.id for call in trace.calls}) == len(trace.calls)
    assert Trace.model_validate_json(trace.model_dump_json()) == trace


def test_engine_strategies_and_run_load_no_litellm() -> None:
    code = (
        "import sys, composite_llm, composite_llm.run; print(any(name.startswith('litellm') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@BOTH
async def test_both_forms_give_the_same_answer_money_and_trace(form: Form) -> None:
    b = bench(MODEL, SCRIPT, proposers=["a", "b"])
    reply = await form(b)
    assert reply.message["content"].replace("|", "") == "The answer"
    trace = b.trace
    assert_sums(trace)
    assert trace.cost_usd == 3 * COST
    assert trace.usage.total_tokens == 45
    assert (trace.strategy, trace.model, trace.error, trace.degraded, trace.duration_s) == ("moa", MODEL, None, [], 3)
    assert [(call.stage, call.name, call.status, call.parent_id) for call in trace.calls] == [
        ("propose", "a", "ok", None),
        ("propose", "b", "ok", None),
        ("aggregate", "chief", "ok", None),
    ]
    assert [(call.start_s, call.duration_s) for call in trace.calls] == [(0, 1), (0, 2), (2, 1)]
    assert trace.started_at.tzinfo is not None
    assert b.run.result is reply


async def test_a_stream_tells_what_happens_while_it_happens() -> None:
    b = bench(MODEL, SCRIPT, proposers=["b", "a"])
    moments: list[tuple[float, str]] = []
    async for item in b.run.items():
        if isinstance(item, CallDone):
            moments.append((now(), item.call.name))
        elif isinstance(item, StageStarted):
            moments.append((now(), item.stage))
        elif isinstance(item, Chunk) and (text := streamed_text([item])):
            moments.append((now(), text))
    assert moments == [(0, "propose"), (1, "a"), (2, "b"), (2, "aggregate"), (3, "The"), (3, " answer"), (3, "chief")]


def test_nothing_is_spent_before_the_run_is_awaited() -> None:
    async def make() -> Bench:
        return bench(MODEL, SCRIPT)

    b = virtual_time.run(make())
    assert b.run.trace is None
    assert b.backend.requests == []


@BOTH
@pytest.mark.parametrize(
    ("script", "limit", "stages"),
    [
        pytest.param({"a": Hang(), "chief": Say()}, 5, (), id="in-the-first-stage"),
        pytest.param({"a": [Say(), Hang()], "chief": Say()}, 5, ("propose",), id="in-the-second-layer"),
        pytest.param({"a": Say(), "chief": Hang()}, 5, ("propose", "propose-2"), id="in-the-final-call"),
        pytest.param(
            {"a": Say(), "chief": Hang(({"content": "The"},))}, 5, ("propose", "propose-2"), id="within-the-answer"
        ),
    ],
)
async def test_a_timeout_names_the_stages_that_were_finished(
    script: Script, limit: float, stages: tuple[str, ...], form: Form
) -> None:
    b = bench(MODEL, script, proposers=["a"], layers=2, timeout_s=limit)
    with pytest.raises(RunTimeout, match=f"no answer within timeout={limit:g} s") as raised:
        await form(b)
    assert (raised.value.stages_finished, raised.value.status_code, now()) == (stages, 408, limit)
    assert raised.value.trace is not None
    assert raised.value.trace.error == str(raised.value)
    assert raised.value.trace.calls[-1].status == "cancelled"
    assert other_tasks() == set()
    assert b.backend.in_flight == 0


@BOTH
async def test_one_hung_member_does_not_sink_a_run_with_a_timeout(form: Form) -> None:
    b = bench(MODEL, {"a": Say("alpha", after=1), "b": Hang(), "chief": "done"}, proposers=["a", "b"], timeout_s=30)
    assert (await form(b)).message["content"] == "done"
    assert now() == 15
    assert call_named(b.trace, "b").status == "abandoned"


@BOTH
@pytest.mark.parametrize(
    ("script", "error", "status"),
    [
        pytest.param({"a": failing("rate_limited", retry_after_s=99), "chief": Say()}, QuorumNotMet, 429, id="quorum"),
        pytest.param({"a": Say(), "chief": failing("authentication")}, FinalCallFailed, 502, id="final"),
        pytest.param(
            {"a": Say(), "chief": failing("rejected", cost_usd=0.5)}, FinalCallFailed, 400, id="final-that-cost"
        ),
    ],
)
async def test_a_failed_run_says_what_it_did_and_spent(
    script: Script, error: type[CompositeError], status: int, form: Form
) -> None:
    b = bench(MODEL, script, proposers=["a"])
    with pytest.raises(error) as raised:
        await form(b)
    assert raised.value.status_code == status
    assert raised.value.trace is not None
    assert_sums(raised.value.trace)
    assert raised.value.trace.error == str(raised.value)
    assert "\n" not in str(raised.value)


@BOTH
async def test_an_unknown_price_makes_the_runs_cost_unknown(form: Form) -> None:
    b = bench(MODEL, {**SCRIPT, "b": Say("beta", cost_usd=None)}, proposers=["a", "b"])
    await form(b)
    assert b.trace.cost_usd is None
    assert b.trace.usage.total_tokens == 45


@BOTH
async def test_abandoned_and_failed_attempts_are_in_the_sum(form: Form) -> None:
    script: Script = {
        "a": [failing("malformed", cost_usd=0.125), Say("alpha")],
        "b": Say("", cost_usd=0.5),
        "chief": Say("done", cost_usd=1.0),
    }
    b = bench(MODEL, script, proposers=["a", "b"])
    await form(b)
    assert_sums(b.trace)
    # A blank answer is asked for twice.
    assert b.trace.cost_usd == 0.125 + COST + 2 * 0.5 + 1.0


NESTED_SCRIPT: Script = {
    "a": Say("alpha", after=1),
    "in1": Say("inner one", after=1),
    "in2": Say("inner two", after=2),
    "inner-chair": Say("inner answer", after=1),
    "chief": Say("done"),
}
NESTED = {"model": "composite/moa/inner-chair", "name": "team", "proposers": ["in1", "in2"]}


@BOTH
async def test_a_nested_run_is_in_the_trace_below_its_node_and_counted_once(form: Form) -> None:
    b = bench(MODEL, NESTED_SCRIPT, proposers=["a", NESTED])
    assert (await form(b)).message["content"] == "done"
    trace = b.trace
    assert_sums(trace)
    assert trace.cost_usd == 5 * COST
    team = call_named(trace, "team")
    assert (team.parent_id, team.usage.total_tokens, team.cost_usd, team.content) == (None, 0, 0.0, "inner answer")
    assert [(call.stage, call.name) for call in trace.children(team.id)] == [
        ("propose", "in1"),
        ("propose", "in2"),
        ("aggregate", "inner-chair"),
    ]
    assert now() == 3
    assert trace.self_moa is False


@BOTH
async def test_a_nested_final_model_streams_through_and_is_counted_once(form: Form) -> None:
    script: Script = {"a": "alpha", "in1": "inner", "inner-chair": "The| answer"}
    aggregator = {"name": "team", "proposers": ["in1"]}
    b = bench("composite/moa/composite/moa/inner-chair", script, proposers=["a"], aggregator=aggregator)
    reply = await form(b)
    assert reply.message["content"].replace("|", "") == "The answer"
    assert_sums(b.trace)
    assert b.trace.cost_usd == 3 * COST
    team = call_named(b.trace, "team")
    assert [call.name for call in b.trace.children(team.id)] == ["in1", "inner-chair"]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"in1": failing("rejected"), "inner-chair": Say()}, id="in-its-deliberation"),
        pytest.param({"in1": Say(), "inner-chair": failing("rejected")}, id="in-its-final-call"),
    ],
)
@BOTH
async def test_a_failed_nested_final_leaves_the_cost_known_and_its_fallback_answers(broken: Script, form: Form) -> None:
    aggregator = {"name": "team", "proposers": ["in1"], "fallbacks": ["spare"], "num_retries": 0}
    script: Script = {"a": "alpha", "spare": "spare answer", **broken}
    b = bench("composite/moa/composite/moa/inner-chair", script, proposers=["a"], aggregator=aggregator)
    assert (await form(b)).message["content"] == "spare answer"
    assert b.trace.cost_usd is not None
    assert_sums(b.trace)


async def test_a_nested_stream_closed_after_its_usage_is_not_counted_twice() -> None:
    script: Script = {"a": "alpha", "in1": "inner", "inner-chair": "The| answer"}
    b = bench("composite/moa/composite/moa/inner-chair", script, proposers=["a"], aggregator={"proposers": ["in1"]})
    async with contextlib.aclosing(b.run.items()) as items:
        async for item in items:
            if isinstance(item, Chunk) and item.usage is not None:
                break
    assert b.trace.usage.total_tokens == 45
    assert_sums(b.trace)


async def test_a_nested_member_has_its_nodes_timeout_and_leaves_nothing_behind() -> None:
    script: Script = {"a": "alpha", "in1": Hang(), "in2": Hang(), "chief": "done"}
    b = bench(MODEL, script, proposers=["a", {**NESTED, "timeout": 4, "num_retries": 0}])
    assert await b.text() == "done"
    assert now() == 4
    assert call_named(b.trace, "team").status == "timed_out"
    assert {call_named(b.trace, name).status for name in ("in1", "in2")} == {"cancelled"}
    assert sorted(b.backend.cut) == ["in1", "in2"]
    assert other_tasks() == set()


@BOTH
async def test_a_nested_error_is_its_members_failure(form: Form) -> None:
    script: Script = {"a": "alpha", "in1": failing("rejected"), "in2": failing("rejected"), "chief": "done"}
    b = bench(MODEL, script, proposers=["a", NESTED])
    assert (await form(b)).message["content"] == "done"
    team = call_named(b.trace, "team")
    assert team.status == "failed"
    assert "needs 1 usable answer, got 0" in str(team.error)
    assert len(team.attempts) == 1


async def test_a_nested_run_that_reached_its_own_cap_is_not_asked_again() -> None:
    script: Script = {"a": "alpha", "in1": Say(), "in2": Say(), "inner-chair": failing("unavailable"), "chief": "done"}
    b = bench(MODEL, script, proposers=["a", {**NESTED, "max_calls": 3}])
    assert await b.text() == "done"
    assert len(call_named(b.trace, "team").attempts) == 1


async def test_a_nested_mistake_of_the_configuration_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_KEY", raising=False)
    nested = {**NESTED, "proposers": [{"model": "in1", "api_key": "os.environ/NODE_KEY"}]}
    b = bench(MODEL, {"a": "alpha", "chief": "done", "in1": Say(), "inner-chair": Say()}, proposers=["a", nested])
    with contextlib.suppress(InvalidOption):
        await b.text()
    assert len(call_named(b.trace, "team").attempts) == 1


@BOTH
@pytest.mark.parametrize("limit", [1, 2])
async def test_nested_runs_share_the_limit_of_calls_at_once_and_do_not_deadlock(limit: int, form: Form) -> None:
    nested = [{**NESTED, "name": f"team {number}"} for number in range(3)]
    b = bench(MODEL, NESTED_SCRIPT, proposers=["a", *nested], max_parallel=limit)
    assert (await form(b)).message["content"] == "done"
    assert b.backend.most_in_flight == limit


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 6) | st.none(),
    st.sampled_from([plain, streamed]),
    st.sampled_from(["unavailable", None]),
)
def test_no_run_makes_more_calls_than_its_cap_nested_ones_included(
    cap: int, inner_cap: int | None, form: Form, failure: Any
) -> None:
    async def check() -> None:
        script = {**NESTED_SCRIPT, **({"a": failing(failure)} if failure else {})}
        nested = {**NESTED, **({"max_calls": inner_cap} if inner_cap else {})}
        b = bench(MODEL, script, proposers=["a", nested, "in1"], max_calls=cap)
        (outcome,) = await asyncio.gather(form(b), return_exceptions=True)
        if isinstance(outcome, Reply):
            assert outcome.message["content"]
        else:
            assert isinstance(outcome, BudgetExceeded | QuorumNotMet | FinalCallFailed)
            assert outcome.trace is not None
            assert outcome.status_code in (402, 502, 503)
        assert len(b.backend.requests) <= cap
        assert other_tasks() == set()
        assert_sums(b.trace)

    virtual_time.run(check())


@BOTH
async def test_a_cap_that_leaves_room_for_some_members_asks_only_those_and_says_so(form: Form) -> None:
    b = bench(MODEL, {**SCRIPT, "c": Say()}, proposers=["a", "b", "c"], max_calls=3)
    assert (await form(b)).message["content"].startswith("The")
    assert [request.model for request in b.backend.requests] == ["a", "b", "chief"]
    assert b.trace.degraded


@BOTH
async def test_a_money_cap_holds(form: Form) -> None:
    facts = ScriptedFacts(prices={"a": 0.00001, "chief": 0.00001})
    b = bench(MODEL, {"a": Say(cost_usd=5.0), "chief": Say()}, proposers=["a"], max_cost_usd=1.0, facts=facts)
    with pytest.raises(BudgetExceeded, match="max_cost_usd of 1 is reached: used 5") as raised:
        await form(b)
    assert [request.model for request in b.backend.requests] == ["a"]
    assert raised.value.trace is not None
    assert raised.value.trace.cost_usd == 5


def test_a_money_cap_that_cannot_be_kept_is_refused_unless_it_is_allowed() -> None:
    with pytest.raises(InvalidOption, match="max_cost_usd: the price of chief is unknown"):
        bench(MODEL, SCRIPT, proposers=["a"], max_cost_usd=1)
    assert bench(MODEL, SCRIPT, proposers=["a"], max_cost_usd=1, allow_unpriced=True).run.trace is None


@BOTH
@pytest.mark.parametrize(
    ("model", "options", "answer"),
    [
        pytest.param(MODEL, {"proposers": ["bad", "a", "b"]}, "alpha", id="moa-first-usable"),
        pytest.param(
            "composite/council/chief",
            {"members": ["a", "b", "judge"], "reviewers": ["judge"]},
            "beta",
            id="council-best-ranked",
        ),
    ],
)
async def test_the_best_answer_takes_the_place_of_a_failed_final_call(
    model: str, options: dict[str, Any], answer: str, form: Form
) -> None:
    def judge(request: Any) -> Say:
        text = str(request.messages[-1]["content"])
        if "reviewing" not in text:
            return Say("omega")
        label = text.split("\nbeta\n")[0].rsplit("<<<", 1)[1].rsplit(" ", 1)[0]
        return Say(f"FINAL RANKING:\n1. {label}")

    script: Script = {
        "a": "alpha",
        "b": "beta",
        "bad": failing("rejected"),
        "judge": judge,
        "chief": failing("rejected"),
    }
    b = bench(model, script, on_final_failure="best", **options)
    reply = await form(b)
    assert reply.message["content"] == answer
    assert any("chief failed" in reason for reason in b.trace.degraded)
    assert_sums(b.trace)


async def test_a_streamed_best_answer_is_seen_once() -> None:
    b = bench(MODEL, {"a": "alpha", "chief": failing("rejected")}, proposers=["a"], on_final_failure="best")
    assert streamed_text(await b.items()) == "alpha"


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param({"content": "The"}, id="text"),
        pytest.param({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}, id="tool"),
    ],
)
async def test_no_other_answer_follows_a_part_that_was_seen(piece: dict[str, Any]) -> None:
    broken = Fail(failing("unavailable").failure, pieces=[piece])
    b = bench(MODEL, {"a": "alpha", "chief": broken}, proposers=["a"], on_final_failure="best")
    with pytest.raises(FinalCallFailed) as raised:
        await b.items()
    assert raised.value.received_chars > 0


@pytest.mark.parametrize(
    ("script", "until"),
    [
        pytest.param({"a": Hang(), "b": Say(after=1), "chief": Say()}, CallDone, id="in-the-deliberation"),
        pytest.param({"a": Say(), "b": Say(), "chief": Hang(({"content": "The"},))}, Chunk, id="in-the-answer"),
        pytest.param({"a": Say(), "b": Say(), "chief": Say()}, StageStarted, id="at-once"),
    ],
)
async def test_closing_the_stream_ends_every_subcall(script: Script, until: type) -> None:
    b = bench(MODEL, script, proposers=["a", "b"])
    closed_at = None
    async with contextlib.aclosing(b.run.items()) as items:
        async for item in items:
            if isinstance(item, until):
                closed_at = now()
                break
    assert now() == closed_at
    assert other_tasks() == set()
    assert b.backend.in_flight == 0
    assert_sums(b.trace)
    assert b.run.result is None


@BOTH
@pytest.mark.parametrize("after", [0.5, 2.5], ids=["in-the-deliberation", "in-the-final-call"])
async def test_cancelling_a_run_ends_every_subcall(form: Form, after: float) -> None:
    b = bench(MODEL, {**SCRIPT, "chief": Hang(({"content": "The"},))}, proposers=["a", "b"])
    task = asyncio.ensure_future(form(b))
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert other_tasks() == set()
    assert b.backend.in_flight == 0
    assert b.trace.error == "cancelled"
    assert_sums(b.trace)


async def hang_here(name: str, arguments: dict[str, Any]) -> None:
    await asyncio.get_running_loop().create_future()


@BOTH
async def test_a_tool_that_hangs_ends_with_the_runs_time(form: Form) -> None:
    script: Script = {"a": "alpha", "chief": asking_for(("c1", "look", "{}"))}
    b = bench(MODEL, script, proposers=["a"], tools=TOOLS, tool_executor=hang_here, timeout_s=20)
    with pytest.raises(RunTimeout):
        await form(b)
    assert now() == 20
    assert other_tasks() == set()


@BOTH
async def test_a_sync_tool_that_hangs_ends_with_the_runs_time(form: Form) -> None:
    release = threading.Event()
    script: Script = {"a": "alpha", "chief": asking_for(("c1", "look", "{}"))}
    b = bench(MODEL, script, proposers=["a"], tools=TOOLS, tool_executor={"look": release.wait}, timeout_s=20)
    try:
        with pytest.raises(RunTimeout):
            await form(b)
    finally:
        release.set()


@BOTH
async def test_tools_are_run_and_recorded(form: Form) -> None:
    script: Script = {"a": "alpha", "chief": [asking_for(("c1", "look", '{"at": "sky"}')), Say("done")]}
    b = bench(MODEL, script, proposers=["a"], tools=TOOLS, tool_executor={"look": lambda at: f"{at}!"})
    assert (await form(b)).message["content"] == "done"
    (record,) = b.trace.tool_calls
    assert (record.name, record.arguments, record.result, record.round) == ("look", {"at": "sky"}, "sky!", 1)
    assert len(b.backend.asked("a")) == 1
    assert_sums(b.trace)


def test_an_executor_that_is_not_registered_is_refused_before_anything_is_spent() -> None:
    with pytest.raises(InvalidOption, match="tool_executor: got 'web'; allowed: a registered name"):
        bench(MODEL, SCRIPT, tool_executor="web", tool_executors={"calc": print})


STEP = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
AFTER_A_TOOL = [
    *QUESTION,
    {"role": "assistant", "content": None, "tool_calls": [STEP]},
    {"role": "tool", "tool_call_id": "c1", "content": "seen"},
]


@pytest.mark.parametrize(("fanout", "deliberations"), [("user_turn", 1), ("every_call", 2)])
async def test_a_user_turn_deliberates_once_unless_every_call_shall(fanout: str, deliberations: int) -> None:
    b = bench(MODEL, SCRIPT, proposers=["a", "b"], tools=TOOLS, fanout=fanout)
    again = bench(MODEL, {}, AFTER_A_TOOL, proposers=["a", "b"], tools=TOOLS, fanout=fanout, services=b.services)
    await b.text()
    await again.text()
    assert len(b.backend.asked("a")) == deliberations
    first, second = b.backend.prompts("chief")
    assert again.trace.reused is (deliberations == 1)
    if deliberations == 1:
        assert list(second[: len(first)]) == list(first)


async def test_a_new_user_turn_deliberates_anew() -> None:
    b = bench(MODEL, SCRIPT, proposers=["a", "b"], tools=TOOLS)
    more = [*QUESTION, {"role": "assistant", "content": "x"}, {"role": "user", "content": "And red?"}]
    again = bench(MODEL, {}, more, proposers=["a", "b"], tools=TOOLS, services=b.services)
    await b.text()
    await again.text()
    assert len(b.backend.asked("a")) == 2
