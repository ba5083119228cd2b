"""Budgets of a day and a month, over all runs of a composite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from composite_llm.model.errors import BudgetExceeded, InvalidOption
from composite_llm.observe.observer import Observers
from composite_llm.observe.spending import Used
from composite_llm.observe.store import writer
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import TelemetrySettings
from composite_llm.run import Services
from composite_llm.run.spending_limits import check_spending
from composite_llm.strategies.moa import MoaOptions
from tests.support.benches import Bench, bench
from tests.support.scripted_backend import COST, Say, Script, ScriptedBackend, ScriptedFacts
from tests.support.telling import a_call, a_trace, info, tell, tell_call

MODEL = "composite/moa/chief"
SCRIPT: Script = {"a": Say("alpha"), "chief": Say("The answer")}
PRICED = ScriptedFacts(prices={"a": 0.001, "chief": 0.001})
NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
RUN_COST = 2 * COST


def made(path: Path) -> StoreObserver:
    return StoreObserver(TelemetrySettings(path=path, max_age_days=None))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traces.db"


@pytest.fixture
def observer(path: Path) -> Iterator[StoreObserver]:
    observer = made(path)
    yield observer
    observer.close()


def capped(
    observer: StoreObserver | None, *, model: str = MODEL, facts: ScriptedFacts = PRICED, **options: Any
) -> Bench:
    """A run that a store counts, if there is one."""
    watching = [observer] if observer is not None else []
    services = Services(
        ScriptedBackend(SCRIPT),
        facts,
        observers=Observers(watching),
        spending=observer.spending if observer is not None else None,
    )
    return bench(model, SCRIPT, services=services, **{"proposers": ["a"], **options})


@pytest.mark.parametrize("cap", ["max_cost_usd_per_day", "max_cost_usd_per_month"])
@pytest.mark.parametrize("flushed", [False, True], ids=["unwritten", "written"])
async def test_a_used_up_budget_refuses_the_next_run_before_its_first_call(
    observer: StoreObserver, cap: str, flushed: bool
) -> None:
    for _ in range(2):
        assert await capped(observer, **{cap: 2 * RUN_COST}).text() == "The answer"
        assert not flushed or observer.flush()
    refused = capped(observer, **{cap: 2 * RUN_COST})
    with pytest.raises(BudgetExceeded) as caught:
        await refused.text()
    assert (caught.value.limit_name, caught.value.limit, caught.value.used) == (cap, 1.0, 1.0)
    assert caught.value.status_code == 402
    assert caught.value.message.startswith(f"{cap} of 1 is reached: used 1; {MODEL} may run again from ")
    assert refused.backend.requests == []
    with pytest.raises(BudgetExceeded):
        await capped(observer, **{cap: 2 * RUN_COST}).items()


async def test_a_refused_run_is_no_run_and_another_model_string_has_a_budget_of_its_own(
    observer: StoreObserver,
) -> None:
    await capped(observer, max_cost_usd_per_day=RUN_COST).text()
    with pytest.raises(BudgetExceeded):
        await capped(observer, max_cost_usd_per_day=RUN_COST).text()
    assert observer.spending.used(MODEL, TODAY) == Used(RUN_COST, 0.0)
    assert await capped(observer, model="composite/moa/a", max_cost_usd_per_day=RUN_COST).text() == "alpha"


async def test_another_process_that_shares_the_store_counts(observer: StoreObserver, path: Path) -> None:
    other = made(path)
    await capped(other, max_cost_usd_per_day=RUN_COST).text()
    other.close()
    with pytest.raises(BudgetExceeded):
        await capped(observer, max_cost_usd_per_day=RUN_COST).text()


@pytest.mark.parametrize(
    ("now", "since", "again"),
    [
        ("2026-11-25T23:59:59", "2026-11-25", "2026-11-26 00:00"),
        ("2026-12-31T00:00:00", "2026-12-31", "2027-01-01 00:00"),
    ],
)
def test_a_day_is_utcs(now: str, since: str, again: str) -> None:
    check_period("max_cost_usd_per_day", now, since, again)


@pytest.mark.parametrize(
    ("now", "since", "again"),
    [
        ("2026-11-25T12:00:00", "2026-11-01", "2026-12-01 00:00"),
        ("2026-12-31T23:59:59", "2026-12-01", "2027-01-01 00:00"),
        ("2028-02-01T00:00:00", "2028-02-01", "2028-03-01 00:00"),
    ],
)
def test_a_month_is_the_calendars(now: str, since: str, again: str) -> None:
    check_period("max_cost_usd_per_month", now, since, again)


def check_period(cap: str, now: str, since: str, again: str) -> None:
    asked: list[datetime] = []

    class Spent:
        def used(self, model: str, since: datetime) -> Used:
            asked.append(since)
            return Used(5.0, 0.5)

    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    with pytest.raises(BudgetExceeded, match=rf"used 5.5, \$0.5 of it kept .*; m may run again from {again} UTC"):
        check_spending(MoaOptions(**{cap: 5.5}), "m", Spent(), moment)
    check_spending(MoaOptions(**{cap: 5.6}), "m", Spent(), moment)
    assert asked == [datetime.fromisoformat(since).replace(tzinfo=UTC)] * 2


def test_what_was_spent_before_the_period_does_not_count(observer: StoreObserver) -> None:
    for days in (0, 1, 40):
        tell(observer, a_trace([a_call(cost_usd=1.0)], model=MODEL, started_at=NOW - timedelta(days=days)))
    for _ in range(2):
        assert observer.spending.used(MODEL, TODAY).spent_usd == 1.0
        assert observer.spending.used(MODEL, TODAY - timedelta(days=2)).spent_usd == 2.0
        observer.flush()


def test_a_run_under_way_counts_with_what_it_spent_and_what_its_cap_still_lets_it_spend(
    observer: StoreObserver, path: Path
) -> None:
    trace = a_trace([a_call(cost_usd=0.25), a_call(2, cost_usd=0.5)], model=MODEL)
    run = info(trace, max_cost_usd=2.0)
    observer.run_started(run)
    tell_call(observer, run, trace.calls[0])
    other = made(path)
    assert observer.flush()
    # In this process, and as another one sees it.
    assert observer.spending.used(MODEL, TODAY) == other.spending.used(MODEL, TODAY) == Used(0.25, 1.75)
    observer.run_ended(run, trace)
    assert observer.spending.used(MODEL, TODAY) == Used(0.75, 0.0)
    assert observer.flush()
    assert other.spending.used(MODEL, TODAY) == Used(0.75, 0.0)


async def test_a_nested_composite_counts_for_its_own_budget(observer: StoreObserver) -> None:
    inner = {"model": "composite/moa/a", "proposers": ["a"]}
    await capped(observer, proposers=[inner, "a"]).text()
    for _ in range(2):
        assert observer.spending.used("composite/moa/a", TODAY).spent_usd == 2 * COST
        assert observer.spending.used(MODEL, TODAY).spent_usd == 4 * COST
        observer.flush()
    refused = capped(observer, proposers=[{**inner, "max_cost_usd_per_day": 2 * COST}, "a"])
    await refused.text()
    (failed,) = [call for call in refused.trace.calls if call.status == "failed"]
    assert "max_cost_usd_per_day of 0.5 is reached" in (failed.error or "")


async def test_a_cap_without_telemetry_is_an_error_that_says_so() -> None:
    with pytest.raises(InvalidOption, match=r"max_cost_usd_per_day: needs telemetry.*register\(telemetry=True\)"):
        capped(None, max_cost_usd_per_day=1)


async def test_a_model_without_a_price_is_refused_unless_that_is_allowed(observer: StoreObserver) -> None:
    unpriced = ScriptedFacts(prices={"chief": 0.001})
    with pytest.raises(InvalidOption, match="max_cost_usd_per_month: the price of a is unknown"):
        capped(observer, facts=unpriced, max_cost_usd_per_month=1)
    allowed = capped(observer, facts=unpriced, max_cost_usd_per_month=1, allow_unpriced=True)
    assert await allowed.text() == "The answer"


def test_what_has_no_price_counts_as_nothing(observer: StoreObserver) -> None:
    tell(observer, a_trace([a_call(), a_call(2, cost_usd=None)], model=MODEL))
    for _ in range(2):
        assert observer.spending.used(MODEL, TODAY).spent_usd == 0.25
        observer.flush()


async def test_where_the_store_cannot_be_used_what_this_process_spent_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_ITEMS", 4)
    (tmp_path / "file").write_text("not a directory")
    observer = made(tmp_path / "file" / "traces.db")
    for _ in range(4):
        await capped(observer, max_cost_usd_per_day=4 * RUN_COST).text()
        observer.flush()
    with pytest.raises(BudgetExceeded):
        await capped(observer, max_cost_usd_per_day=4 * RUN_COST).text()
    observer.close()
