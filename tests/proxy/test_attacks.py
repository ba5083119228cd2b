"""A client who wants to do harm: nothing reaches the network that the operator did not allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fake_server import ThreadedServer
from tests.support.proxies import Proxy

MESSAGES = [{"role": "user", "content": "Which bridge is the oldest?"}]
_INTERNAL = ("Traceback", "sk-upstream-secret", "site-packages", ".py", "0x", "pydantic")


def _nested(depth: int, inside: dict[str, Any]) -> dict[str, Any]:
    for _ in range(depth):
        inside = {"optional_params": inside, "extra_body": inside} if depth < 5 else {"optional_params": inside}
    return inside


def _node(evil: str) -> dict[str, Any]:
    return {"model": "openai/gpt-4o", "api_base": evil, "api_key": "sk-of-the-attacker"}


Make = Callable[[str], dict[str, Any]]
ATTACKS: dict[str, Make] = {
    "api_base": lambda evil: {"api_base": evil},
    "base_url": lambda evil: {"base_url": evil},
    "api_key": lambda _: {"api_key": "sk-of-the-attacker"},
    "api_version": lambda _: {"api_version": "2020-01-01"},
    "extra_headers": lambda _: {"extra_headers": {"authorization": "Bearer sk-of-the-attacker"}},
    "nodes with an endpoint": lambda evil: {"proposers": [_node(evil)]},
    "final node with an endpoint": lambda evil: {"aggregator": _node(evil)},
    "fallbacks in a node": lambda evil: {"proposers": [{"model": "small", "fallbacks": [_node(evil)]}]},
    "extra_body: api_base": lambda evil: {"extra_body": {"api_base": evil}},
    "extra_body: api_key": lambda _: {"extra_body": {"api_key": "sk-of-the-attacker"}},
    "extra_body: nodes": lambda evil: {"extra_body": {"proposers": [_node(evil)]}},
    "extra_body: extra_body": lambda evil: {"extra_body": {"extra_body": {"proposers": [_node(evil)]}}},
    "extra_body: optional_params": lambda evil: {"extra_body": {"optional_params": {"proposers": [_node(evil)]}}},
    "optional_params: api_base": lambda evil: {"optional_params": {"api_base": evil}},
    "optional_params: api_key": lambda _: {"optional_params": {"api_key": "sk-of-the-attacker"}},
    "optional_params: headers": lambda _: {"optional_params": {"extra_headers": {"x": "y"}}},
    "optional_params: provider": lambda _: {"optional_params": {"custom_llm_provider": "hosted_vllm"}},
    "optional_params: another endpoint": lambda evil: {"optional_params": {"aws_bedrock_runtime_endpoint": evil}},
    "optional_params: prices": lambda _: {"optional_params": {"input_cost_per_token": -1}},
    "optional_params: model list": lambda evil: {"optional_params": {"model_list": [{"litellm_params": _node(evil)}]}},
    "optional_params: extra_body": lambda evil: {"optional_params": {"extra_body": {"proposers": [_node(evil)]}}},
    "optional_params four deep": lambda evil: _nested(4, {"proposers": [_node(evil)]}),
    "optional_params fifty deep": lambda evil: _nested(50, {"proposers": [_node(evil)]}),
    "optional_params that is a list": lambda evil: {"optional_params": [{"proposers": [_node(evil)]}]},
    "extra_body that is a list": lambda evil: {"extra_body": [{"proposers": [_node(evil)]}]},
    "metadata: api_base": lambda evil: {"metadata": {"api_base": evil}},
    "a credential by name": lambda _: {"litellm_credential_name": "another-one"},
    "a provider's endpoint": lambda evil: {"my_provider_endpoint": evil},
    "a provider's token": lambda _: {"azure_ad_token": "stolen"},
    "a policy of one's own": lambda evil: {
        "proxy_server_request": {"body": {}},
        "model_info": {"composite": {"client_may_set": ["proposers"]}},
        "proposers": [_node(evil)],
    },
    "executor": lambda _: {"tool_executor": "os.system"},
    "executor with tools": lambda _: {"tool_executor": {"weather": "os.system"}},
    "nodes with an executor": lambda _: {"proposers": [{"model": "small", "tool_executor": "os.system"}]},
    "foreign model": lambda _: {"proposers": ["openai/gpt-4o"]},
    "environment": lambda evil: {"proposers": [{**_node(evil), "api_key": "os.environ/UPSTREAM_KEY"}]},
    "ten thousand proposers": lambda _: {"proposers": ["small"] * 10_000},
    "ten thousand members": lambda _: {"members": ["small"] * 10_000},
    "layers": lambda _: {"layers": 1000},
    "samples": lambda _: {"samples": 1000},
    "samples as text": lambda _: {"samples": "1000"},
    "samples as a huge number": lambda _: {"samples": 10**400},
    "samples as a list": lambda _: {"samples": [1]},
    "five megabytes of criteria": lambda _: {"criteria": "x" * 5_000_000},
    "five megabytes of seed": lambda _: {"seed": "9" * 5_000_000},
    "five megabytes of reasoning": lambda _: {"reasoning": "x" * 5_000_000},
    "five megabytes of samples": lambda _: {"samples": "9" * 5_000_000},
    "five megabytes of name": lambda _: {"optional_params": {"x" * 5_000_000: 1}},
    "a key with a line break": lambda _: {"optional_params": {"x\ny": 1}},
    "a budget of the day": lambda _: {"max_cost_usd_per_day": 10**9},
    "an unlogged run": lambda _: {"no-log": True},
    "a misspelt option": lambda evil: {"proposer": [_node(evil)]},
    "negative calls": lambda _: {"max_calls": -1},
    "no time": lambda _: {"timeout": -5},
}


def _one_clear_line(message: str) -> None:
    # LiteLLM's Router adds a sentence that names what the client asked for.
    own = message.split("\n\nLiteLLM: ")[0]
    assert own.strip()
    assert "\n" not in own.strip()
    assert len(message) < 700
    for inside in _INTERNAL:
        assert inside not in message


@pytest.mark.parametrize("model", ["plain-moa", "open-council", "open-moa", "limited", "composite/moa/large"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_in_the_body_is_a_4xx_with_one_clear_line_and_reaches_nobody(
    proxy: Proxy, upstream: ThreadedServer, evil: ThreadedServer, attack: str, model: str
) -> None:
    response = proxy.post({"model": model, "messages": MESSAGES, **ATTACKS[attack](evil.base_url)})
    assert 400 <= response.status_code < 500, response.text[:500]
    _one_clear_line(response.json()["error"]["message"])
    assert upstream.ledger.records == []
    assert evil.ledger.records == []


HARMLESS: dict[str, Make] = {
    # LiteLLM takes it out of the body; what came with it is left out.
    "headers": lambda _: {"headers": {"authorization": "Bearer sk-of-the-attacker", "x-of-the-attacker": "1"}},
    "metadata: options": lambda evil: {"metadata": {"composite": {"proposers": [_node(evil)]}, "proposers": ["x"]}},
    "metadata: identity": lambda _: {"metadata": {"user_api_key": "sk-of-another", "composite_run": "forged"}},
    "metadata: deployment": lambda evil: {"metadata": {"model_info": {"id": "x"}, "deployment": evil}},
    "an import path": lambda _: {"executor_import_path": "os.system"},
    "a mapping named composite": lambda evil: {"composite": {"proposers": [_node(evil)], "api_base": evil}},
    "three in one another": lambda evil: {"extra_body": {"a": {"b": {"api_base": evil, "proposers": [_node(evil)]}}}},
}


@pytest.mark.parametrize("attack", HARMLESS)
def test_what_is_no_option_changes_nothing(
    proxy: Proxy, upstream: ThreadedServer, evil: ThreadedServer, attack: str
) -> None:
    response = proxy.post({"model": "plain-moa", "messages": MESSAGES, **HARMLESS[attack](evil.base_url)})
    assert response.status_code == 200, response.text
    assert sorted(str(record.model) for record in upstream.ledger.records) == ["gpt-4.1-mini", "gpt-4o", "gpt-4o-mini"]
    assert all("x-of-the-attacker" not in record.headers for record in upstream.ledger.records)
    assert evil.ledger.records == []


def test_headers_of_the_request_reach_no_model(proxy: Proxy, upstream: ThreadedServer, evil: ThreadedServer) -> None:
    response = proxy.post(
        {"model": "plain-moa", "messages": MESSAGES},
        x_api_base=evil.base_url,
        api_base=evil.base_url,
        x_litellm_api_base=evil.base_url,
        proposers="openai/gpt-4o",
        x_litellm_proposers="openai/gpt-4o",
        x_forwarded_host="evil.example",
    )
    assert response.status_code == 200, response.text
    assert len(upstream.ledger.records) == 3
    for record in upstream.ledger.records:
        assert not {"x-api-base", "api-base", "proposers", "x-forwarded-host"} & {n.lower() for n in record.headers}
    assert evil.ledger.records == []


@pytest.mark.parametrize(
    "model",
    [
        "composite/" + "moa/composite/" * 50 + "moa/large",
        "composite/" + "moa/composite/" * 5000 + "moa/large",
        "composite/moa/openai/gpt-4o",
        "composite/council/openai/gpt-4o",
        "composite/moa/composite/council/openai/gpt-4o",
        "composite/profile/" + "x" * 100_000,
        "composite/" + "x" * 100_000,
        "composite/profile/../../etc/passwd",
        "composite/moa/",
        "composite/moa/os.environ/UPSTREAM_KEY",
    ],
    ids=lambda model: model[:40] + (f"… of {len(model)}" if len(model) > 40 else ""),
)
def test_a_model_string_through_a_wildcard_reaches_nothing_that_the_operator_did_not_name(
    proxy: Proxy, upstream: ThreadedServer, evil: ThreadedServer, model: str
) -> None:
    response = proxy.post({"model": model, "messages": MESSAGES})
    assert 400 <= response.status_code < 500, response.text[:500]
    assert upstream.ledger.records == []


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/completions"])
@pytest.mark.parametrize("attack", ["nodes with an endpoint", "api_key", "layers", "extra_body: nodes", "executor"])
def test_the_other_endpoints_have_the_same_policy(
    proxy: Proxy, upstream: ThreadedServer, evil: ThreadedServer, path: str, attack: str
) -> None:
    asked: dict[str, Any] = {"messages": MESSAGES, "input": "Hello", "prompt": "Hello"}
    field = {"/v1/messages": "messages", "/v1/responses": "input", "/v1/completions": "prompt"}[path]
    body = {"model": "plain-moa", "max_tokens": 100, field: asked[field], **ATTACKS[attack](evil.base_url)}
    response = proxy.post(body, path=path)
    assert 400 <= response.status_code < 500, response.text
    assert upstream.ledger.records == []
    assert evil.ledger.records == []


@pytest.mark.parametrize("stream", [False, True])
def test_another_provider_in_the_body_does_not_lead_around_the_policy(
    proxy: Proxy, upstream: ThreadedServer, evil: ThreadedServer, stream: bool
) -> None:
    body = {"model": "plain-moa", "messages": MESSAGES, "custom_llm_provider": "openai", "stream": stream}
    response = proxy.post(body)
    assert 400 <= response.status_code < 500, response.text
    assert evil.ledger.records == []
    assert upstream.ledger.records == []


def test_runs_that_a_client_lets_time_out_do_not_take_the_composite_from_the_others(proxy: Proxy) -> None:
    for _ in range(12):
        assert proxy.post({"model": "one-shot", "messages": MESSAGES, "timeout": 0.0001}).status_code == 408
    assert proxy.post({"model": "one-shot", "messages": MESSAGES}).status_code == 200
