"""On the proxy a client is not the operator: a test for each line of the policy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.proxy.policy import FREE, LOWER_ONLY, MAX_CLIENT_NODES, UP_TO
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.proxies import Proxy

MESSAGES = [{"role": "user", "content": "Which bridge is the oldest?"}]
PLACES = ("body", "extra_body", "optional_params")
OPERATORS: dict[str, Any] = {
    "proposers": ["small"],
    "aggregation": "vote",
    "analysis": True,
    "references": 1,
    "residual": True,
    "share_reasoning": True,
    "aggregator": "large",
    "members": ["small"],
    "reviewers": ["small"],
    "chairman": "large",
    "exclude_self": False,
    "ranking": "copeland",
    "criteria": "Be brief.",
    "reference_placement": "system",
    "quorum": 1,
    "straggler_grace_s": 1,
    "stage_timeout_s": 1,
    "max_cost_usd_per_day": 1,
    "max_cost_usd_per_month": 1,
    "max_parallel": 4,
    "stream_members": True,
    "fanout": "every_call",
    "tool_executor": "shell",
    "on_final_failure": "best",
    "allow_unpriced": True,
    "validate_output": False,
}


def _body(model: str, place: str = "body", **options: Any) -> dict[str, Any]:
    request = {"model": model, "messages": MESSAGES}
    return {**request, **options} if place == "body" else {**request, place: options}


def _refused(proxy: Proxy, body: dict[str, Any], *, key: str | None = None) -> str:
    response = proxy.post(body, key=key) if key else proxy.post(body)
    assert response.status_code == 403, response.text
    message: str = response.json()["error"]["message"]
    return message


def test_this_file_knows_every_option() -> None:
    assert set(OPERATORS) | FREE | LOWER_ONLY | set(UP_TO) == ALL_OPTIONS | {"timeout"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("option", "value"), OPERATORS.items())
def test_an_option_of_the_operators_is_a_403_that_names_it(
    proxy: Proxy, upstream: ThreadedServer, option: str, value: Any, place: str
) -> None:
    assert option in _refused(proxy, _body("plain-moa", place, **{option: value}))
    assert upstream.ledger.records == []


@pytest.mark.parametrize("place", PLACES)
def test_reasoning_and_seed_are_free(proxy: Proxy, upstream: ThreadedServer, place: str) -> None:
    response = proxy.post(_body("plain-moa", place, reasoning="off", seed=7))
    assert response.status_code == 200, response.text
    assert "reasoning_content" not in response.json()["choices"][0]["message"]
    assert [record.body["seed"] for record in upstream.ledger.records] == [7, 7, 7]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("option", "value"),
    {"max_calls": 5, "max_cost_usd": 4.5, "samples": 1, "layers": 1, "max_tool_rounds": 1, "timeout": 19}.items(),
)
def test_a_limit_may_be_lowered(proxy: Proxy, upstream: ThreadedServer, option: str, value: Any, place: str) -> None:
    response = proxy.post(_body("limited", place, **{option: value}))
    assert response.status_code == 200, response.text
    assert len(upstream.ledger.records) == {"max_calls": 5, "samples": 3, "layers": 4}.get(option, 7)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("option", "value"),
    {"max_calls": 21, "max_cost_usd": 5.01, "samples": 4, "layers": 3, "max_tool_rounds": 5, "timeout": 21}.items(),
)
def test_a_limit_may_not_be_raised(proxy: Proxy, upstream: ThreadedServer, option: str, value: Any, place: str) -> None:
    message = _refused(proxy, _body("limited", place, **{option: value}))
    assert option in message
    assert "lower" in message
    assert upstream.ledger.records == []


def test_where_the_operator_set_no_limit_the_default_is_the_limit(proxy: Proxy) -> None:
    assert "layers" in _refused(proxy, _body("one-shot", layers=2))


def test_where_nothing_limits_a_run_any_cap_lowers(proxy: Proxy) -> None:
    assert proxy.post(_body("one-shot", max_calls=100, timeout=5000)).status_code == 200


def test_the_lower_of_two_places_does_not_hide_the_higher(proxy: Proxy) -> None:
    assert "max_calls" in _refused(proxy, {**_body("limited", max_calls=1), "extra_body": {"max_calls": 1000}})


def test_a_header_cannot_give_a_run_more_time_than_the_operator(proxy: Proxy, upstream: ThreadedServer) -> None:
    response = proxy.post(_body("hasty"), x_litellm_timeout="25")
    assert response.status_code == 403, response.text
    assert "timeout" in response.json()["error"]["message"]
    assert upstream.ledger.records == []


def test_a_key_of_the_clients_own_does_not_lift_the_operators_limits(proxy: Proxy, upstream: ThreadedServer) -> None:
    assert "api_key" in _refused(proxy, _body("limited", max_calls=1000, api_key="sk-mine"))
    assert upstream.ledger.records == []


def test_an_option_that_the_operator_opened_may_be_set(proxy: Proxy, upstream: ThreadedServer) -> None:
    response = proxy.post(_body("team-council", criteria="Prefer the older source."))
    assert response.status_code == 200, response.text
    assert any("Prefer the older source." in text for text in wire.signature(upstream))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("option", ["tool_executor", "max_cost_usd_per_day", "max_cost_usd_per_month"])
def test_no_name_opens_what_leads_elsewhere_or_lifts_a_budget_of_all(
    proxy: Proxy, upstream: ThreadedServer, option: str, place: str
) -> None:
    assert option in _refused(proxy, _body("open-council", place, **{option: OPERATORS[option]}))
    assert upstream.ledger.records == []


def test_a_client_may_name_the_proxys_own_models_where_the_operator_lets_it(
    proxy: Proxy, upstream: ThreadedServer
) -> None:
    response = proxy.post(_body("open-moa", proposers=["medium"], aggregator="small"))
    assert response.status_code == 200, response.text
    assert wire.models(upstream) == ["gpt-4.1-mini", "gpt-4o-mini"]


@pytest.mark.parametrize(
    "node", ["openai/gpt-4o", "gpt-4o", "composite/moa/large", "large/../x", ""], ids=lambda node: node or "empty"
)
def test_a_node_that_is_no_model_of_the_proxy_is_refused(proxy: Proxy, upstream: ThreadedServer, node: str) -> None:
    response = proxy.post(_body("open-moa", proposers=["small", node]))
    assert 400 <= response.status_code < 404, response.text
    assert upstream.ledger.records == []


def test_a_node_from_a_client_is_a_plain_name(proxy: Proxy) -> None:
    assert "plain names" in _refused(proxy, _body("open-moa", proposers=[{"model": "small"}]))
    assert "plain name" in _refused(proxy, _body("open-moa", aggregator={"model": "small"}))


def test_a_client_may_name_a_limited_number_of_nodes(proxy: Proxy) -> None:
    assert str(MAX_CLIENT_NODES) in _refused(proxy, _body("open-moa", proposers=["small"] * (MAX_CLIENT_NODES + 1)))


@pytest.mark.parametrize(
    "settings",
    [
        {"models": ["open-moa", "small", "large"]},
        {"models": [], "team_id": "blue", "team_models": ["open-moa", "small", "large"]},
        {"models": [], "user_id": "una", "user_models": ["open-moa", "small", "large"]},
    ],
    ids=["key", "team", "user"],
)
def test_the_lists_of_the_key_its_team_and_its_user_hold_for_the_nodes_that_a_client_names(
    proxy: Proxy, upstream: ThreadedServer, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    key = proxy.add_key(f"sk-listed-{request.node.callspec.id}", **settings)
    assert proxy.post(_body("open-moa", proposers=["small"]), key=key).status_code == 200
    upstream.ledger.clear()
    message = _refused(proxy, _body("open-moa", proposers=["small", "medium"]), key=key)
    assert "'medium'" in message
    assert "key" in message
    assert upstream.ledger.records == []


def test_the_operators_own_nodes_are_reached_by_any_key_that_may_call_the_composite(
    proxy: Proxy, upstream: ThreadedServer
) -> None:
    key = proxy.add_key("sk-only-the-composite", models=["private"])
    assert proxy.post(_body("private"), key=key).status_code == 200
    assert "private-node" in wire.models(upstream)
    assert proxy.post(_body("small"), key=key).status_code in (401, 403)


@pytest.mark.parametrize("model", ["composite/moa/large", "composite/council/composite/moa/large"])
def test_through_a_wildcard_every_model_in_the_string_must_be_on_the_keys_list(proxy: Proxy, model: str) -> None:
    allowed = proxy.add_key("sk-wild-and-large", models=["composite/*", "large"])
    assert proxy.post(_body(model), key=allowed).status_code == 200
    forbidden = proxy.add_key("sk-wild-alone", models=["composite/*"])
    assert "'large'" in _refused(proxy, _body(model), key=forbidden)


def test_through_a_wildcard_a_profiles_nodes_are_the_operators(proxy: Proxy, upstream: ThreadedServer) -> None:
    allowed = proxy.add_key("sk-wild-profile", models=["composite/*", "small"])
    response = proxy.post(_body("composite/profile/house"), key=allowed)
    assert response.status_code == 200, response.text
    assert wire.models(upstream) == ["gpt-4o-mini", "of-the-house"]
    forbidden = proxy.add_key("sk-wild-profile-alone", models=["composite/*"])
    assert "'small'" in _refused(proxy, _body("composite/profile/house"), key=forbidden)


@pytest.mark.parametrize("holder", ["metadata", "team_metadata"])
def test_the_operator_limits_the_calls_of_a_run_for_a_key_or_a_team(
    proxy: Proxy, upstream: ThreadedServer, holder: str
) -> None:
    key = proxy.add_key(f"sk-two-calls-{holder}", **{holder: {"composite": {"max_calls": 2}}})
    response = proxy.post(_body("plain-moa"), key=key)
    assert response.status_code == 200, response.text
    assert len(upstream.ledger.records) == 2
    assert (
        "budget_reduced"
        in response.json()["choices"][0]["message"]["provider_specific_fields"]["composite"]["degraded"][0]
    )


@pytest.mark.parametrize("analysis", [True, "large"], ids=["switch", "name"])
def test_an_analysis_that_a_client_may_ask_for_reaches_it(
    proxy: Proxy, upstream: ThreadedServer, analysis: Any
) -> None:
    fields = ("contradictions", "partial_coverage", "unique_insights", "blind_spots")
    found = {"consensus": ["Response B is older."], **{field: [] for field in fields}}
    upstream.set_scenario("gpt-4o", {"sequence": [{"text": json.dumps(found)}, {"text": "The answer."}]})
    response = proxy.post(_body("open-moa", proposers=["small", "medium"], analysis=analysis))
    assert response.status_code == 200, response.text
    message = response.json()["choices"][0]["message"]
    assert message["content"] == "The answer."
    assert message["provider_specific_fields"]["composite"]["analysis"] == {
        **found, "consensus": ["medium is older."],
    }  # fmt: skip


def test_an_analyst_is_a_model_of_the_proxys(proxy: Proxy, upstream: ThreadedServer) -> None:
    response = proxy.post(_body("open-moa", proposers=["small", "medium"], analysis="openai/gpt-4o"))
    assert response.status_code in (400, 403), response.text
    assert wire.models(upstream) == []


def test_a_key_with_one_call_gets_the_final_model_alone(proxy: Proxy, upstream: ThreadedServer) -> None:
    key = proxy.add_key("sk-one-call", metadata={"composite": {"max_calls": 1}})
    response = proxy.post(_body("plain-moa"), key=key)
    assert response.status_code == 200, response.text
    assert wire.models(upstream) == ["gpt-4o"]


@pytest.mark.parametrize("place", ["optional_params", "extra_body"])
def test_options_that_the_operator_put_into_a_mapping_stay_when_the_client_sends_one(
    proxy: Proxy, upstream: ThreadedServer, place: str
) -> None:
    response = proxy.post(_body(f"in-{place.replace('_', '-')}", place, reasoning="off"))
    assert response.status_code == 200, response.text
    assert wire.models(upstream) == ["gpt-4o-mini", "gpt-4o"]
    assert "max_calls" in _refused(proxy, _body(f"in-{place.replace('_', '-')}", place, max_calls=9))


def test_the_operator_limits_the_cost_of_a_run_for_a_key(proxy: Proxy, upstream: ThreadedServer) -> None:
    key = proxy.add_key("sk-poor", metadata={"composite": {"max_cost_usd": 0.0000001}})
    response = proxy.post(_body("priced", max_cost_usd=50), key=key)
    # Not 402, for which a Router would take the deployment from everybody.
    assert (response.status_code, response.json()["error"]["type"]) == (400, "BudgetExceeded"), response.text
    assert "max_cost_usd" in response.json()["error"]["message"]
    assert "gpt-4o" not in wire.models(upstream)


def test_a_keys_limit_only_lowers(proxy: Proxy) -> None:
    key = proxy.add_key("sk-generous", metadata={"composite": {"max_calls": 1000}})
    assert "max_calls" in _refused(proxy, _body("limited", max_calls=21), key=key)


def test_a_keys_limit_that_cannot_be_read_is_not_no_limit(proxy: Proxy, upstream: ThreadedServer) -> None:
    key = proxy.add_key("sk-misspelt", metadata={"composite": {"max_calls": "ten"}})
    assert "max_calls" in _refused(proxy, _body("one-shot"), key=key)
    assert upstream.ledger.records == []


def test_unknown_parameters_reach_the_final_models_provider_as_for_any_model(
    proxy: Proxy, upstream: ThreadedServer
) -> None:
    response = proxy.post(_body("one-shot", top_k=5))
    assert response.status_code == 200, response.text
    assert wire.body(upstream, "gpt-4o")["top_k"] == 5
    assert "top_k" not in wire.body(upstream, "gpt-4o-mini")
