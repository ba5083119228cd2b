"""Whether an endpoint serves what the nodes name, asked before money is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import composite_llm
from composite_llm.backend.litellm_served import MAX_AGE_S, MAX_ENTRIES, ServedModels
from composite_llm.config.node import Node
from composite_llm.model.errors import InvalidConfig
from fake_server import RunningServer, ThreadedServer, running_in_thread
from tests.support.asking import FINAL, FIRST, KEY, MESSAGES, SECOND


@pytest.fixture
def place(server: ThreadedServer) -> str:
    return server.url.removeprefix("http://")


@pytest.fixture
def fresh() -> Iterator[ThreadedServer]:
    """An endpoint that nobody has asked before; it serves `served`, `also` and `gpt-4o`."""
    with running_in_thread(scenarios={"served": {}, "also": {}, "gpt-4o": {}}) as running:
        yield running


def at(server: RunningServer, model: str, **settings: Any) -> dict[str, Any]:
    return {"model": f"openai/{model}", "api_base": server.base_url, "api_key": KEY, **settings}


def options(server: RunningServer, *proposers: Any) -> dict[str, Any]:
    return {
        "model": f"composite/moa/{FINAL}",
        "proposers": list(proposers),
        "api_base": server.base_url,
        "api_key": KEY,
    }


def where(server: RunningServer) -> str:
    return server.url.removeprefix("http://")


def test_a_plan_whose_models_are_served_has_no_problems(fresh: ThreadedServer) -> None:
    assert composite_llm.check(options(fresh, at(fresh, "served"), "openai/also")) == []


def test_a_model_that_is_not_served_is_told_with_place_and_what_is(fresh: ThreadedServer) -> None:
    problems = composite_llm.check(options(fresh, at(fresh, "served"), at(fresh, "gone")))
    assert problems == [f"model 'gone' is not served at {where(fresh)}; it serves also, gpt-4o, served"]


def test_fallbacks_reviewers_and_the_final_model_are_looked_at_too(fresh: ThreadedServer) -> None:
    plan = {
        "model": "composite/council/openai/chair",
        "members": [at(fresh, "served", fallbacks=[at(fresh, "spare")]), at(fresh, "also")],
        "reviewers": [at(fresh, "critic")],
        "api_base": fresh.base_url,
        "api_key": KEY,
    }
    missing = sorted(problem.split("'")[1] for problem in composite_llm.check(plan))
    assert missing == ["chair", "critic", "spare"]


def test_the_nodes_of_nested_composites_are_looked_at_with_their_own_endpoint(fresh: ThreadedServer) -> None:
    inner = {"model": "composite/moa/openai/inner", "proposers": ["openai/deep", at(fresh, "also")]}
    connected = {**inner, "api_base": fresh.base_url, "api_key": KEY}
    problems = composite_llm.check({**options(fresh, connected), "model": "composite/moa/openai/gpt-4o"})
    assert sorted(problem.split("'")[1] for problem in problems) == ["deep", "inner"]
    assert all(f"is not served at {where(fresh)}; it serves also, gpt-4o, served" in problem for problem in problems)


def test_what_litellm_would_ask_by_the_environment_is_asked(
    fresh: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", fresh.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    problems = composite_llm.check({"model": "composite/moa/openai/gpt-4o", "proposers": ["openai/gone"]})
    assert problems == [f"model 'gone' is not served at {where(fresh)}; it serves also, gpt-4o, served"]


def test_openai_is_not_asked_without_a_key() -> None:
    assert composite_llm.check({"model": "composite/moa/openai/gpt-4o", "proposers": ["openai/gone"]}) == []


def test_no_tokens_are_spent_and_one_list_is_fetched_for_all_nodes(fresh: ThreadedServer) -> None:
    for _ in range(3):
        composite_llm.check(options(fresh, at(fresh, "served"), at(fresh, "also"), at(fresh, "gone")))
    assert [record.path for record in fresh.ledger.records] == ["/v1/models"]


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with running_in_thread() as gone:
        closed = gone.base_url
    plan = {
        "model": f"composite/moa/{FINAL}",
        "proposers": [{"model": FIRST, "api_base": closed, "api_key": KEY}],
        "aggregator": {"api_base": closed, "api_key": KEY},
    }
    problems = composite_llm.check(plan)
    place = closed.removeprefix("http://").removesuffix("/v1")
    assert len(problems) == 2
    assert all(
        problem.startswith(f"{place} does not tell which models it serves: ConnectError") for problem in problems
    )


def test_an_endpoint_that_refuses_the_key_is_named_without_the_key() -> None:
    with running_in_thread(api_key="sk-right") as guarded:
        problems = composite_llm.check(options(guarded, at(guarded, "served", api_key="sk-wrong")))
    assert any(f"{where(guarded)} does not tell which models it serves: HTTP 401" in problem for problem in problems)
    assert "sk-" not in str(problems)


def test_providers_without_such_a_list_are_taken_on_trust(server: ThreadedServer) -> None:
    assert composite_llm.check({"model": "composite/moa/anthropic/claude-x", "proposers": ["gemini/nothing"]}) == []
    assert server.ledger.records == []


def test_a_plan_that_is_wrong_is_refused() -> None:
    with pytest.raises(composite_llm.InvalidOption, match="proposer"):
        composite_llm.check({"model": f"composite/moa/{FINAL}", "proposer": [FIRST]})
    with pytest.raises(composite_llm.UnknownProfile):
        composite_llm.check("nobody")


def profile(server: RunningServer, *models: str) -> dict[str, Any]:
    return {
        "profiles": {
            "wise": {
                "strategy": "moa",
                "proposers": [at(server, model) for model in models],
                "aggregator": at(server, "gpt-4o"),
            }
        }
    }


def test_a_profile_is_checked_by_name(fresh: ThreadedServer, configure: Callable[[Any], None]) -> None:
    configure(profile(fresh, "served", "gone"))
    for name in ("wise", "composite/profile/wise"):
        (problem,) = composite_llm.check(name)
        assert "'gone' is not served" in problem


@pytest.mark.usefixtures("configure")
def test_registering_with_a_check_refuses_what_is_not_served(fresh: ThreadedServer) -> None:
    composite_llm.register(config=profile(fresh, "served"), check=True)
    with pytest.raises(InvalidConfig, match=f"model 'gone' is not served at {where(fresh)}"):
        composite_llm.register(config=profile(fresh, "gone"), check=True)


# --- what is remembered --------------------------------------------------------------------------------------------


def node(server: RunningServer, model: str = "served") -> Node:
    return Node.model_validate(at(server, model))


def test_a_list_is_asked_for_again_after_ten_minutes(fresh: ThreadedServer) -> None:
    seconds = 0.0
    served = ServedModels(lambda: seconds)
    assert served.problems([node(fresh, "new")])
    fresh.set_scenario("new", {})
    seconds = MAX_AGE_S - 1
    assert served.problems([node(fresh, "new")])
    seconds = MAX_AGE_S
    assert served.problems([node(fresh, "new")]) == []
    assert len(fresh.ledger.records) == 2
    assert MAX_AGE_S == 600


def test_no_more_lists_are_kept_than_a_thousand(fresh: ThreadedServer) -> None:
    served = ServedModels(lambda: 0.0)
    keep = 3
    served._lists.update(
        {(f"http://host-{number}/v1", None): (1.0, frozenset()) for number in range(MAX_ENTRIES + keep)}
    )
    assert served.problems([node(fresh)]) == []
    assert len(served._lists) == MAX_ENTRIES == 1000
    assert (fresh.base_url, KEY) in served._lists


def test_a_failure_is_not_remembered(fresh: ThreadedServer) -> None:
    served = ServedModels(lambda: 0.0)
    wrong = Node.model_validate({**at(fresh, "served"), "api_base": f"{fresh.url}/nowhere"})
    assert served.problems([wrong])
    assert served.problems([wrong])
    assert len([record for record in fresh.ledger.records if "nowhere" in record.path]) == 2


def test_many_models_are_told_in_part() -> None:
    with running_in_thread(scenarios={f"model-{number:02}": {} for number in range(25)}) as many:
        (problem,) = ServedModels().problems([node(many, "gone")])
    assert problem.endswith("model-08, model-09 and 15 more")


def test_explaining_asks_nobody(server: ThreadedServer, place: str) -> None:
    told = composite_llm.explain(
        f"composite/council/{FINAL}", MESSAGES, members=[FIRST, SECOND], api_base=server.base_url
    )
    assert (told.calls, told.rounds, told.latency_class) == (5, 3, "deliberate")
    assert [stage.role for stage in told.stages] == ["member", "reviewer", "chairman"]
    assert server.ledger.records == []
    assert place
