from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from composite_llm import ExecutionContext, TraceStore
from composite_llm.model.structured_text import NextStep
from composite_llm.model.usage import Usage
from composite_llm.observe.observer import Observers
from composite_llm.observe.records import RunRecord
from composite_llm.observe.store import StoreUnavailable, UnknownRun
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.run import Services
from tests.support.benches import bench
from tests.support.scripted_backend import Say, Script, ScriptedBackend, ScriptedFacts, failing
from tests.support.telling import a_call, a_trace, info, tell, tell_call

SCRIPT: Script = {"a": Say("alpha", after=1), "b": failing("rejected"), "chief": Say("The answer", after=1)}
CONTEXT = ExecutionContext(
    user_id="ada",
    workflow_name="report",
    step_name="draft",
    task_type="summarize",
    session_id="s-1",
    project="apollo",
    tags=("nightly", "eu"),
)


def only(store: TraceStore, **filters: Any) -> RunRecord:
    (run,) = store.runs(**filters)
    return run


async def test_a_run_is_found_with_its_calls_and_its_trace(observer: StoreObserver, store: TraceStore) -> None:
    services = Services(ScriptedBackend(SCRIPT), ScriptedFacts(), observers=Observers([observer]))
    b = bench("composite/moa/chief", SCRIPT, services=services, proposers=["a", "b"])
    await b.run.reply()
    assert observer.flush()
    run = only(store)
    assert (run.id, run.status, run.strategy, run.model) == (b.run.id, "ok", "moa", "composite/moa/chief")
    assert (run.calls, run.failed_calls, run.attempts) == (3, 1, 3)
    assert (run.usage, run.cost_usd, run.degraded) == (b.trace.usage, b.trace.cost_usd, b.trace.degraded)
    assert run.started_at == b.trace.started_at
    assert [(call.role, call.name, call.status) for call in store.calls(run.id)] == [
        ("proposer", "a", "ok"),
        ("proposer", "b", "failed"),
        ("aggregator", "chief", "ok"),
    ]
    without_texts = [call.model_copy(update={"content": None}) for call in b.trace.calls]
    assert store.trace(run.id) == b.trace.model_copy(update={"calls": without_texts})


def test_runs_and_calls_say_where_they_come_from(observer: StoreObserver, store: TraceStore) -> None:
    tell(observer, a_trace(), CONTEXT.as_metadata(), identity="hash-of-a-key", trace_id="t-1")
    observer.flush()
    run = only(store)
    (call,) = store.calls(run.id)
    for record in (run, call):
        assert (record.user, record.workflow, record.step) == ("ada", "report", "draft")
        assert (record.task_type, record.session, record.project) == ("summarize", "s-1", "apollo")
        assert record.tags == ["nightly", "eu"]
    assert (run.key, run.trace_id) == ("hash-of-a-key", "t-1")
    assert (call.provider, call.run_model) == ("openai", run.model)


def test_litellms_session_counts_where_the_metadata_names_none(observer: StoreObserver, store: TraceStore) -> None:
    tell(observer, a_trace(), session_id="litellm-session")
    observer.flush()
    assert only(store).session == "litellm-session"


@pytest.mark.parametrize(
    ("wanted", "other"),
    [
        ({"user": "ada"}, {"user": "bob"}),
        ({"workflow": "report"}, {"workflow": "other"}),
        ({"session": "s-1"}, {"session": "s-2"}),
        ({"project": "apollo"}, {"project": "gemini"}),
        ({"tag": "eu"}, {"tag": "u"}),
        ({"model": "composite/moa/openai/gpt-4o"}, {"model": "composite/moa/openai/gpt-4"}),
        ({"model": "anthropic/claude"}, {"model": "anthropic"}),
        ({"model": "claude"}, {"model": "c%e"}),
        ({"status": "ok"}, {"status": "failed"}),
        ({"profile": "wise"}, {"profile": "cheap"}),
        ({"since": datetime(2026, 11, 1, tzinfo=UTC)}, {"since": datetime(2026, 11, 2, 0, 0, 1, tzinfo=UTC)}),
        ({"until": datetime(2026, 11, 3, tzinfo=UTC)}, {"until": datetime(2026, 11, 2, tzinfo=UTC)}),
    ],
    ids=str,
)
def test_runs_are_found_by_what_they_are(
    observer: StoreObserver, store: TraceStore, wanted: dict[str, Any], other: dict[str, Any]
) -> None:
    model = "composite/profile/wise" if "profile" in wanted else "composite/moa/openai/gpt-4o"
    began = datetime(2026, 11, 2, tzinfo=UTC)
    trace = a_trace([a_call(1, "anthropic/claude")], model=model, started_at=began)
    tell(observer, trace, CONTEXT.as_metadata())
    observer.flush()
    assert only(store, **wanted).id == trace.id
    assert store.runs(**other) == []


def test_the_newest_run_comes_first_and_pages_do_not_overlap(observer: StoreObserver, store: TraceStore) -> None:
    began = datetime(2026, 11, 2, tzinfo=UTC)
    traces = [tell(observer, a_trace(started_at=began + timedelta(seconds=n))) for n in range(5)]
    observer.flush()
    newest_first = [trace.id for trace in reversed(traces)]
    pages = [[run.id for run in store.runs(limit=2, offset=offset)] for offset in (0, 2, 4)]
    assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert [run.id for run in store.runs(limit=None)] == newest_first


def test_the_beginning_of_an_id_is_enough_if_it_is_the_only_one(observer: StoreObserver, store: TraceStore) -> None:
    for run_id in ("abc1", "abc2", "abd", "ab"):
        tell(observer, a_trace(id=run_id))
    observer.flush()
    assert store.run("abd").id == "abd"
    assert store.run("abc1").id == "abc1"
    assert store.run("ab").id == "ab"
    with pytest.raises(UnknownRun, match="several runs begin with 'abc'"):
        store.run("abc")
    with pytest.raises(UnknownRun, match="there is no run 'x'"):
        store.trace("x")


def test_a_run_under_way_is_there_with_the_calls_that_are_done(observer: StoreObserver, store: TraceStore) -> None:
    trace = a_trace([a_call(1), a_call(2, "openai/o3", cost_usd=0.5)])
    run = info(trace)
    observer.run_started(run)
    observer.flush()
    assert (only(store).status, only(store).calls, only(store).cost_usd) == ("running", 0, 0.0)
    tell_call(observer, run, trace.calls[1])
    observer.flush()
    record = only(store, status="running")
    assert (record.calls, record.cost_usd, record.usage) == (
        1,
        0.5,
        Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15),
    )
    assert [call.name for call in store.trace(record.id).calls] == ["openai/o3"]
    tell_call(observer, run, trace.calls[0])
    observer.run_ended(run, trace)
    observer.flush()
    assert (only(store).status, only(store).calls, only(store).cost_usd) == ("ok", 2, 0.75)
    assert [call.name for call in store.trace(record.id).calls] == ["openai/gpt-4o", "openai/o3"]


def test_an_unknown_price_makes_a_cost_unknown_and_says_what_is_known(
    observer: StoreObserver, store: TraceStore
) -> None:
    tell(observer, a_trace([a_call(1), a_call(2, cost_usd=None)]))
    observer.flush()
    assert (only(store).cost_usd, only(store).known_cost_usd) == (None, 0.25)


@pytest.mark.parametrize(("error", "status"), [(None, "ok"), ("cancelled", "cancelled"), ("no answer", "failed")])
def test_a_run_ends_as_its_trace_says(observer: StoreObserver, store: TraceStore, error: str, status: str) -> None:
    tell(observer, a_trace(error=error))
    observer.flush()
    assert (only(store).status, only(store).error) == (status, error)


RETRY = NextStep("retry", delay_s=1.0)


def test_attempts_are_listed_with_their_calls(observer: StoreObserver, store: TraceStore) -> None:
    retried = a_call(1)
    failed = retried.attempts[0].model_copy(update={"status": "failed", "error": "rate limited", "next_step": RETRY})
    trace = tell(observer, a_trace([a_call(2), retried.model_copy(update={"attempts": [failed, *retried.attempts]})]))
    observer.flush()
    attempts = store.attempts(trace.id)
    assert [(a.call_id, a.number, a.status) for a in attempts] == [
        ("call-2", 1, "ok"),
        ("call-1", 1, "failed"),
        ("call-1", 2, "ok"),
    ]
    assert (attempts[1].error, attempts[1].next_step, attempts[1].provider) == ("rate limited", RETRY, "openai")


def test_a_store_that_is_not_there_says_so(store: TraceStore) -> None:
    with pytest.raises(StoreUnavailable, match=r"traces\.db: there is no such file"):
        store.runs(since=datetime(2026, 11, 1, tzinfo=UTC))
