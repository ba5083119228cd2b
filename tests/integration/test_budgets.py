"""Caps of calls and money against real HTTP: what a run leaves out, what it refuses, and what it was told to cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FINAL, FIRST, KEY, MESSAGES, MOA, SECOND, THIRD, Ask, at

UNPRICED = "openai/nobody-knows-its-price"
COINS = "openai/one-dollar-a-token"


@pytest.fixture(scope="module", autouse=True)
def _a_dear_model() -> Iterator[None]:
    dear = {"input_cost_per_token": 1.0, "output_cost_per_token": 1.0, "max_output_tokens": 50}
    litellm.register_model({COINS: {"litellm_provider": "openai", "mode": "chat", **dear}})
    yield
    litellm.model_cost.pop(COINS, None)


@pytest.fixture(autouse=True)
def _no_breakers() -> None:
    composite_llm.reset_breakers()


def codes(answer: Any) -> list[str]:
    return [reason.partition(":")[0] for reason in composite_llm.get_trace(answer).degraded]


@pytest.mark.parametrize(
    ("model", "options", "whole"),
    [
        pytest.param(MOA, {"proposers": [FIRST, SECOND, THIRD]}, 4, id="moa"),
        pytest.param(MOA, {"proposers": [FIRST, SECOND], "layers": 2}, 5, id="moa of two layers"),
        pytest.param(MOA, {"samples": 3}, 4, id="self-moa"),
        pytest.param(COUNCIL, {"members": [FIRST, SECOND, THIRD]}, 7, id="council"),
        pytest.param(COUNCIL, {"members": [FIRST, SECOND, THIRD], "quorum": 3}, 7, id="council that needs all"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_no_run_makes_more_calls_than_it_may_and_all_the_same_answers(
    model: str, options: dict[str, Any], whole: int, stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    for max_calls in range(1, whole + 1):
        server.ledger.clear()
        answer: Any = ask(model, max_calls=max_calls, stream=stream, **options)
        if stream:
            assert list(answer)
        trace = composite_llm.get_trace(answer)
        assert 1 <= len(server.ledger.records) <= max_calls
        assert (trace.degraded == []) == (max_calls == whole)
        assert trace.usage.total_tokens == wire.tokens(server)["total_tokens"]
        assert server.ledger.records[-1].model == "gpt-4o"


@pytest.mark.parametrize("max_calls", [2, 3])
def test_retries_count_against_the_calls(max_calls: int, ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 429, "retry_after": 0}})
    with pytest.raises(composite_llm.CompositeError) as caught:
        ask_both(proposers=[{"model": FIRST, "num_retries": 9}], max_calls=max_calls)
    assert len(server.ledger.records) == max_calls
    assert caught.value.status_code == 402
    assert f"max_calls of {max_calls}" in str(caught.value)


def test_a_failed_member_may_cost_the_final_call_its_place_and_the_best_answer_is_returned(
    ask: Ask, server: ThreadedServer
) -> None:
    busy = {"error": {"status": 429, "retry_after": 0}}
    server.set_scenario("gpt-4o-mini", {"sequence": [busy, {"text": "MINI"}]})
    answer = ask(proposers=[FIRST], max_calls=2, on_final_failure="best")
    assert answer.choices[0].message.content == "MINI"
    assert codes(answer) == ["budget_reached", "final_failed"]
    assert len(server.ledger.records) == 2


def test_money_is_refused_before_the_first_call_when_even_the_final_one_may_cost_more(
    ask_both: Ask, server: ThreadedServer
) -> None:
    with pytest.raises(composite_llm.BudgetExceeded) as caught:
        ask_both(f"composite/moa/{COINS}", proposers=[FIRST], max_cost_usd=40)
    assert server.ledger.records == []
    assert caught.value.status_code == 402
    assert (caught.value.limit_name, caught.value.limit, caught.value.used) == ("max_cost_usd", 40, 0)


def test_money_leaves_out_members_first(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("one-dollar-a-token", {"text": "x"})
    few = {"model": COINS, "max_tokens": 10}
    answer = ask_both(proposers=[few, few, few], max_cost_usd=1000)
    asked = [model for model in wire.models(server) if model == "one-dollar-a-token"]
    assert len(asked) == 2
    assert codes(answer) == ["budget_reduced"]
    assert "2 of 3 members" in composite_llm.get_trace(answer).degraded[0]
    assert "2 of 3 members" in answer.choices[0].message.reasoning_content


@pytest.mark.usefixtures("no_cached_answers")
def test_what_was_really_paid_is_compared_after_each_call(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("one-dollar-a-token", {"text": "x", "usage": {"prompt_tokens": 5000, "completion_tokens": 1}})
    with pytest.raises(composite_llm.BudgetExceeded, match="max_cost_usd of 2000 is reached") as caught:
        ask_both(proposers=[COINS, FIRST], max_cost_usd=2000)
    assert sorted(map(str, wire.models(server))) == ["gpt-4o-mini", "one-dollar-a-token"]
    trace = composite_llm.get_trace(caught.value)
    assert trace.cost_usd == pytest.approx(5001, abs=1)
    assert trace.usage.total_tokens == wire.tokens(server)["total_tokens"]


def test_a_council_is_told_again_when_the_answers_turn_out_longer_than_the_money(
    ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("one-dollar-a-token", {"text": "x", "usage": {"prompt_tokens": 3000, "completion_tokens": 1}})
    server.set_scenario("gpt-4o-mini", {"text": "y"})
    members = [COINS, {"model": FIRST, "max_tokens": 20}]
    worst = composite_llm.explain(COUNCIL, MESSAGES, members=members).worst_cost_usd
    assert worst is not None
    answer = ask(COUNCIL, members=members, max_cost_usd=worst + 2200)
    assert "review" not in [call.stage for call in composite_llm.get_trace(answer).calls]
    assert composite_llm.get_trace(answer).degraded == ["budget_reduced: no reviews, to stay under the run's caps"]


@pytest.mark.parametrize(
    ("model", "options"),
    [
        pytest.param(MOA, {"proposers": [FIRST, UNPRICED]}, id="member"),
        pytest.param(MOA, {"proposers": [{"model": FIRST, "fallbacks": [UNPRICED]}]}, id="fallback"),
        pytest.param(f"composite/moa/{UNPRICED}", {"proposers": [FIRST]}, id="final"),
        pytest.param(COUNCIL, {"members": [FIRST, SECOND], "reviewers": [UNPRICED]}, id="reviewer"),
    ],
)
def test_a_money_cap_that_cannot_be_kept_is_an_error_that_names_the_model(
    model: str, options: dict[str, Any], ask_both: Ask, server: ThreadedServer
) -> None:
    with pytest.raises(composite_llm.InvalidOption, match="the price of openai/nobody-knows-its-price is unknown"):
        ask_both(model, max_cost_usd=5, **options)
    assert server.ledger.records == []
    answer = ask_both(model, max_cost_usd=5, allow_unpriced=True, **options)
    assert answer.choices[0].message.content


@pytest.mark.parametrize("max_calls", range(2, 8))
def test_nested_runs_share_the_calls(max_calls: int, ask: Ask, server: ThreadedServer) -> None:
    inner = at(server, f"composite/council/{SECOND}", members=[FIRST, THIRD], name="inner")
    answer = ask(proposers=[inner, THIRD], max_calls=max_calls, on_final_failure="best")
    assert len(server.ledger.records) <= max_calls
    assert composite_llm.get_trace(answer).usage.total_tokens == wire.tokens(server)["total_tokens"]


def test_a_nested_run_cannot_raise_the_cap_around_it(ask: Ask, server: ThreadedServer) -> None:
    inner = at(server, f"composite/moa/{SECOND}", proposers=[FIRST, THIRD], max_calls=50, name="inner")
    ask(proposers=[inner], max_calls=3, on_final_failure="best")
    assert len(server.ledger.records) <= 3


SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND]}),
    "moa of two layers": (MOA, {"proposers": [FIRST, SECOND], "layers": 2}),
    "self-moa": (MOA, {}),
    "council": (COUNCIL, {"members": [FIRST, SECOND, THIRD]}),
    "council of personas": (COUNCIL, {}),
    "council with reviewers": (COUNCIL, {"members": [FIRST, SECOND], "reviewers": [THIRD]}),
    "nested": (MOA, {"proposers": [FIRST, {"model": f"composite/moa/{SECOND}", "proposers": [THIRD]}]}),
    "short answers": (MOA, {"proposers": [{"model": FIRST, "max_tokens": 5, "system": "word " * 1000}]}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_explain_tells_is_what_a_run_does(shape: str, ask_both: Ask, server: ThreadedServer) -> None:
    model, options = SHAPES[shape]
    told = composite_llm.explain(model, MESSAGES, **options)
    assert server.ledger.records == []
    answer = ask_both(model, **_with_endpoints(options, server))
    trace = composite_llm.get_trace(answer)
    assert told.calls == len(server.ledger.records)
    assert told.strategy == trace.strategy
    outer = [call for call in trace.calls if call.parent_id is None]
    assert [(stage.stage, node.name) for stage in told.stages for node in stage.nodes] == [
        (call.stage, call.name) for call in outer
    ]
    assert told.best_cost_usd is not None
    assert told.worst_cost_usd is not None
    assert trace.cost_usd is not None
    assert told.best_cost_usd <= trace.cost_usd <= told.worst_cost_usd


def _with_endpoints(options: dict[str, Any], server: ThreadedServer) -> dict[str, Any]:
    def node(value: Any) -> Any:
        nested = isinstance(value, dict) and value["model"].startswith("composite/")
        return {**value, "api_base": server.base_url, "api_key": KEY} if nested else value

    return {key: [node(one) for one in value] if isinstance(value, list) else value for key, value in options.items()}


def test_a_cap_of_the_explained_worst_case_leaves_nothing_out(ask_both: Ask, server: ThreadedServer) -> None:
    for model, options in (SHAPES["moa"], SHAPES["council"]):
        worst = composite_llm.explain(model, MESSAGES, **options).worst_cost_usd
        assert codes(ask_both(model, max_cost_usd=worst, **options)) == []


def test_explain_refuses_what_a_run_would_refuse() -> None:
    with pytest.raises(composite_llm.InvalidOption, match="quorum"):
        composite_llm.explain(f"composite/moa/{FINAL}", MESSAGES, proposers=[FIRST], quorum=2)
