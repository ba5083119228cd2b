"""A node that names one of the proxy's own models goes through its Router."""

from __future__ import annotations

import pytest

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.clients import Way
from tests.support.proxies import Proxy

MESSAGES = [{"role": "user", "content": "Which bridge is the oldest?"}]


def test_the_routers_fallbacks_serve_a_node(proxy: Proxy, upstream: ThreadedServer) -> None:
    response = proxy.post({"model": "uses-fallback", "messages": MESSAGES})
    assert response.status_code == 200, response.text
    assert wire.models(upstream)[-2:] == ["gpt-4o-mini", "gpt-4o"]
    assert "provider_specific_fields" not in response.json()["choices"][0]["message"]


def test_the_routers_aliases_name_nodes(proxy: Proxy, upstream: ThreadedServer) -> None:
    response = proxy.post({"model": "uses-alias", "messages": MESSAGES})
    assert response.status_code == 200, response.text
    assert wire.models(upstream) == ["gpt-4.1-mini", "gpt-4o"]


def test_the_router_balances_a_nodes_deployments(proxy: Proxy, upstream: ThreadedServer) -> None:
    for _ in range(12):
        assert proxy.post({"model": "uses-balanced", "messages": MESSAGES}).status_code == 200
    asked = set(wire.models(upstream))
    assert {"first-of-two", "second-of-two"} <= asked


def test_a_deployment_that_the_router_lets_cool_down_is_left_alone(proxy: Proxy, upstream: ThreadedServer) -> None:
    for _ in range(12):
        # A run whose only member meets the hot deployment has no quorum; afterwards nobody meets it.
        assert proxy.post({"model": "uses-hot", "messages": MESSAGES}).status_code in (200, 429)
    asked = wire.models(upstream)
    assert asked.count("too-many-requests") <= 1
    assert asked.count("cool") >= 11


def test_a_deployments_own_price_is_the_price_of_the_node(proxy: Proxy, upstream: ThreadedServer) -> None:
    response = proxy.post({"model": "uses-own-price", "messages": MESSAGES})
    assert response.status_code == 200, response.text
    cost = 0.0
    for record in upstream.ledger.records:
        assert record.usage is not None
        cost += record.usage["prompt_tokens"] * 0.001 + record.usage["completion_tokens"] * 0.002
    assert abs(float(response.headers["x-litellm-response-cost"]) - cost) < 1e-9


def test_a_node_that_is_no_model_of_the_proxy_is_asked_directly(proxy: Proxy, upstream: ThreadedServer) -> None:
    response = proxy.post({"model": "private", "messages": MESSAGES})
    assert response.status_code == 200, response.text
    assert sorted(map(str, wire.models(upstream))) == ["gpt-4o", "gpt-4o-mini", "private-node"]


def test_a_composite_of_the_proxy_may_be_a_node(proxy: Proxy, upstream: ThreadedServer) -> None:
    response = proxy.post({"model": "uses-composite", "messages": MESSAGES})
    assert response.status_code == 200, response.text
    assert sorted(map(str, wire.models(upstream))) == ["gpt-4o", "gpt-4o", "gpt-4o-mini"]
    assert response.json()["usage"]["total_tokens"] == wire.tokens(upstream)["total_tokens"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_composite_of_the_proxy_may_have_the_last_word(
    proxy: Proxy, upstream: ThreadedServer, streamed: bool
) -> None:
    got = Way("chat", streamed).ask(proxy, "ends-with-composite")
    assert got.text
    used = wire.tokens(upstream)
    assert (got.tokens_in, got.tokens_out) == (used["prompt_tokens"], used["completion_tokens"])
