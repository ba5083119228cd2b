from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from composite_llm import TraceStore
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import TelemetrySettings
from tests.support.telling import a_call, a_trace, info, tell

NOW = datetime.now(UTC)


def told_days_ago(observer: StoreObserver, *days: float) -> list[str]:
    return [tell(observer, a_trace(started_at=NOW - timedelta(days=day))).id for day in days]


def test_pruning_by_age_removes_what_is_older_with_its_calls(observer: StoreObserver, store: TraceStore) -> None:
    old, young = told_days_ago(observer, 10, 1)
    observer.flush()
    assert store.prune(older_than=timedelta(days=7)).runs == 1
    assert [run.id for run in store.runs()] == [young]
    assert store.usage(by="all")[0].runs == 2
    assert old not in [run.id for run in store.runs(limit=None)]


def test_pruning_by_size_removes_the_oldest_until_the_file_is_small_enough(
    observer: StoreObserver, store: TraceStore, path: Path
) -> None:
    for day in range(1000, 0, -1):
        tell(observer, a_trace([a_call(n) for n in range(5)], started_at=NOW - timedelta(hours=day)))
        if day % 100 == 0:
            # More at once than the writer's queue holds would be given up.
            assert observer.flush()
    observer.close()
    before = path.stat().st_size
    pruned = store.prune(max_bytes=before // 2)
    assert pruned.bytes_before > before // 2 >= pruned.bytes_after
    left = store.runs(limit=None)
    assert len(left) == 1000 - pruned.runs > 0
    assert min(run.started_at for run in left) > NOW - timedelta(hours=1000 - pruned.runs + 1)
    assert path.stat().st_size < before


def test_a_run_under_way_is_never_removed(observer: StoreObserver, store: TraceStore) -> None:
    trace = a_trace(started_at=NOW - timedelta(days=10))
    observer.run_started(info(trace))
    observer.flush()
    assert store.prune(older_than=timedelta(0), max_bytes=0).runs == 0
    assert store.run(trace.id).status == "running"


def test_the_writer_keeps_to_the_settings_by_itself(path: Path, store: TraceStore) -> None:
    before = StoreObserver(TelemetrySettings(path=path, max_age_days=None, max_size_mb=None))
    told_days_ago(before, 40, 20, 1)
    before.close()
    assert len(store.runs()) == 3
    observer = StoreObserver(TelemetrySettings(path=path, max_age_days=30))
    told_days_ago(observer, 0)
    observer.flush()
    observer.close()
    assert len(store.runs()) == 3


def test_budgets_remember_what_was_removed(observer: StoreObserver, store: TraceStore) -> None:
    tell(observer, a_trace(model="composite/profile/wise"))
    observer.flush()
    store.prune(max_bytes=0)
    assert store.spent_usd("wise", NOW - timedelta(days=1)) == 0.25
