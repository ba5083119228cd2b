from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from composite_llm import TraceStore
from composite_llm.observe.records import Sums
from composite_llm.observe.store.store_observer import StoreObserver
from tests.support.telling import a_call, a_trace, info, tell, tell_call

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


def by_group(rows: list[Sums]) -> dict[str | None, Sums]:
    return {row.group: row for row in rows}


@pytest.fixture
def told(observer: StoreObserver) -> StoreObserver:
    """Two days, two profiles, two providers, one failure, one unknown price, one nested composite."""
    dear = a_call(1, "anthropic/opus", cost_usd=2.0)
    cheap = a_call(2, "openai/mini", cost_usd=0.5)
    failed = a_call(3, "openai/mini", cost_usd=0.0, status="failed", error="no luck")
    unpriced = a_call(4, "local/llama", cost_usd=None)
    nested = a_call(5, "composite/moa/openai/mini", attempts=[], cost_usd=0.0)
    wise, quick = "composite/profile/wise", "composite/profile/quick"
    first = a_trace([dear, cheap, nested], model=wise, started_at=NOVEMBER)
    second = a_trace([cheap, failed], model=quick, started_at=NOVEMBER + timedelta(days=1))
    third = a_trace([unpriced], model=quick, started_at=NOVEMBER + timedelta(days=1, hours=1))
    tell(observer, first, {"project": "apollo", "session_id": "s1"}, identity="key-a")
    tell(observer, second, {"project": "apollo", "session_id": "s2"}, identity="key-b")
    tell(observer, third, identity="key-b")
    observer.flush()
    return observer


def check_sums(store: TraceStore) -> None:
    models = by_group(store.costs(by="model"))
    assert list(models) == ["anthropic/opus", "openai/mini", "local/llama"]
    mini = models["openai/mini"]
    assert (mini.attempts, mini.calls, mini.failed, mini.runs) == (3, 3, 1, None)
    assert (mini.prompt_tokens, mini.completion_tokens, mini.cost_usd) == (30, 15, 1.0)
    assert (models["local/llama"].cost_usd, models["local/llama"].unpriced) == (None, 1)
    assert {name: row.attempts for name, row in by_group(store.costs(by="provider")).items()} == {
        "anthropic": 1,
        "openai": 3,
        "local": 1,
    }
    profiles = by_group(store.costs(by="profile"))
    assert {name: (row.runs, row.known_cost_usd, row.unpriced) for name, row in profiles.items()} == {
        "wise": (1, 2.5, 0),
        "quick": (2, 0.5, 1),
    }
    assert [(row.group, row.runs) for row in store.costs(by="day")] == [("2026-11-01", 1), ("2026-11-02", 2)]
    assert {name: row.runs for name, row in by_group(store.costs(by="key")).items()} == {"key-a": 1, "key-b": 2}
    assert {name: row.runs for name, row in by_group(store.usage(by="project")).items()} == {"apollo": 2, None: 1}
    assert {name: row.runs for name, row in by_group(store.usage(by="session")).items()} == {"s1": 1, "s2": 1, None: 1}
    assert list(by_group(store.usage(by="backend"))) == list(models)
    (total,) = store.usage(by="all")
    assert (total.runs, total.calls, total.attempts, total.failed, total.total_tokens) == (3, 5, 5, 1, 75)


def test_costs_and_usage_add_up_in_every_grouping(told: StoreObserver, store: TraceStore) -> None:
    check_sums(store)


def test_the_sums_of_removed_runs_stay(told: StoreObserver, store: TraceStore) -> None:
    assert store.prune(max_bytes=0).runs == 3
    assert store.runs() == []
    check_sums(store)


def test_sums_begin_and_end_where_they_are_told_to(told: StoreObserver, store: TraceStore) -> None:
    second_day = NOVEMBER + timedelta(days=1)
    assert [row.group for row in store.costs(by="profile", since=second_day)] == ["quick"]
    assert [row.group for row in store.costs(by="profile", until=second_day)] == ["wise"]


def test_an_empty_store_has_no_sums(observer: StoreObserver, store: TraceStore) -> None:
    tell(observer, a_trace([]))
    observer.flush()
    assert store.costs(by="model") == []
    assert [row.runs for row in store.usage(by="all")] == [1]


def test_runs_under_way_count_with_what_is_done(observer: StoreObserver, store: TraceStore) -> None:
    trace = a_trace([a_call(1), a_call(2)])
    observer.run_started(info(trace))
    tell_call(observer, info(trace), trace.calls[0])
    observer.flush()
    assert [(row.group, row.cost_usd) for row in store.costs()] == [("openai/gpt-4o", 0.25)]


def test_a_grouping_that_does_not_exist_is_refused_with_those_that_do(told: StoreObserver, store: TraceStore) -> None:
    with pytest.raises(ValueError, match=r"by: got 'colour'; allowed: model, .*day"):
        store.costs(by="colour")
