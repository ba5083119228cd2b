"""Runs through LiteLLM are kept in the telemetry store that `register` names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm import BudgetExceeded, ExecutionContext, InvalidConfig, InvalidOption, TraceStore
from fake_server import ThreadedServer
from tests.support.asking import FINAL, FIRST, MOA, Ask

CONTEXT = ExecutionContext(user_id="ada", workflow_name="report", tags=("nightly",), metadata={"ticket": 7})


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "traces.db"
    composite_llm.register(telemetry={"path": path, "privacy": "full"})
    yield path
    composite_llm.register(config={}, telemetry=False)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_what_is_kept_is_what_get_trace_tells(path: Path, ask: Ask, stream: bool) -> None:
    answer: Any = ask(MOA, proposers=[FIRST], metadata=CONTEXT.as_metadata(), stream=stream)
    if stream:
        assert list(answer)
    assert composite_llm.flush()
    (run,) = TraceStore(path).runs()
    assert TraceStore(path).trace(run.id) == composite_llm.get_trace(answer)
    assert (run.status, run.streamed, run.user, run.workflow) == ("ok", stream, "ada", "report")
    assert run.tags == ["nightly"]
    assert {call.provider for call in TraceStore(path).calls(run.id)} == {"openai"}


def test_a_run_that_failed_is_kept_with_its_error(path: Path, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("*", {"error": {"status": 400}})
    with pytest.raises(litellm.BadRequestError) as caught:
        ask(MOA, proposers=[FIRST])
    assert composite_llm.flush()
    (run,) = TraceStore(path).runs(status="failed")
    assert run.error
    assert run.error in str(caught.value)
    assert run.failed_calls == 1


def test_a_provider_is_litellms_where_the_model_string_names_none(path: Path, ask: Ask) -> None:
    ask("composite/moa/gpt-4o", proposers=[FIRST])
    composite_llm.flush()
    assert [row.group for row in TraceStore(path).costs(by="provider")] == ["openai"]


def test_registering_again_goes_on_in_the_same_store_and_false_ends_it(path: Path, ask: Ask) -> None:
    ask(MOA, proposers=[FIRST])
    composite_llm.register(telemetry={"path": path, "privacy": "full"})
    ask(MOA, proposers=[FIRST])
    composite_llm.register(telemetry=False)
    ask(MOA, proposers=[FIRST])
    assert composite_llm.flush()
    assert len(TraceStore(path).runs()) == 2


def test_a_profiles_budget_of_a_day_is_a_402(path: Path, ask: Ask, server: ThreadedServer) -> None:
    frugal = {"strategy": "moa", "model": FINAL, "proposers": [FIRST], "max_cost_usd_per_day": 1e-9}
    composite_llm.register(config={"profiles": {"frugal": frugal}}, telemetry={"path": path, "privacy": "full"})
    ask("composite/profile/frugal")
    asked = len(server.ledger.records)
    for stream in (False, True):
        with pytest.raises(BudgetExceeded, match="max_cost_usd_per_day of 1e-09 is reached") as caught:
            list(ask("composite/profile/frugal", stream=stream))
        assert caught.value.status_code == 402
    assert len(server.ledger.records) == asked


def test_a_budget_without_telemetry_is_refused_when_it_is_configured_and_when_it_is_asked_for(
    provider: None, ask: Ask
) -> None:
    frugal = {"strategy": "moa", "model": FINAL, "max_cost_usd_per_month": 1}
    with pytest.raises(InvalidConfig, match=r"profiles\.frugal\.max_cost_usd_per_month: needs telemetry"):
        composite_llm.register(config={"profiles": {"frugal": frugal}}, telemetry=False)
    with pytest.raises(InvalidOption, match="max_cost_usd_per_day: needs telemetry"):
        ask(MOA, proposers=[FIRST], max_cost_usd_per_day=1)
