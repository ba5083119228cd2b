"""The key is charged the sum of the run, once, however the run ends and through whichever endpoint it came.

The spend tracking is LiteLLM's own down to its last step, which writes to a file instead of Postgres; see
`deployed/accounts.py`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import uuid
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest
from litellm.proxy._types import hash_token

from fake_server import ThreadedServer
from tests.support.clients import WAYS, Way
from tests.support.proxies import Proxy, eventually

MESSAGES = [{"role": "user", "content": "Which bridge is the oldest?"}]
# US dollars for each token, as LiteLLM's table has it.
PRICES = {"gpt-4o": (2.5e-6, 1e-5), "gpt-4o-mini": (1.5e-7, 6e-7), "gpt-4.1-mini": (4e-7, 1.6e-6)}

every_way = pytest.mark.parametrize("way", WAYS, ids=str)


def spent_upstream(upstream: ThreadedServer) -> float:
    """What the upstream's answers cost."""
    total = 0.0
    for record in upstream.ledger.records:
        if record.usage is not None and record.model in PRICES:
            prompt, completion = PRICES[str(record.model)]
            total += record.usage["prompt_tokens"] * prompt + record.usage["completion_tokens"] * completion
    return total


@pytest.fixture
def key(proxy: Proxy) -> str:
    """A key of the test's own."""
    return proxy.add_key(f"sk-{uuid.uuid4().hex}")


def charges(proxy: Proxy, key: str) -> list[dict[str, Any]]:
    """The charges to a key, once they are written and no more come."""

    def found() -> list[dict[str, Any]]:
        return [charge for charge in proxy.written("charges") if charge["key"] == hash_token(key)]

    eventually(found)
    settle(proxy)
    return found()


def settle(proxy: Proxy) -> None:
    """Wait until LiteLLM has written what it had to write: its queue is in order, so until a later call's charge is there."""
    last = proxy.add_key(f"sk-{uuid.uuid4().hex}")
    assert proxy.post({"model": "settling", "messages": MESSAGES}, key=last).status_code == 200
    eventually(lambda: any(charge["key"] == hash_token(last) for charge in proxy.written("charges")))


@every_way
def test_an_answered_run_is_charged_once_and_in_full(
    proxy: Proxy, key: str, upstream: ThreadedServer, way: Way
) -> None:
    way.ask(proxy, "team-moa", key=key)
    (charge,) = charges(proxy, key)
    assert charge["kind"] == "success"
    assert charge["cost_usd"] == pytest.approx(spent_upstream(upstream))
    assert charge["cost_usd"] > 0


@every_way
def test_callbacks_hear_of_the_run_and_of_each_call_in_it(
    proxy: Proxy, key: str, upstream: ThreadedServer, way: Way
) -> None:
    way.ask(proxy, "team-moa", key=key)
    charges(proxy, key)
    events = proxy.written("events")
    whole = [event for event in events if event["key"] == hash_token(key)]
    assert len(whole) == 1
    inside = [event for event in events if event["trace_id"] == whole[0]["trace_id"] and event not in whole]
    assert whole[0]["logged_cost_usd"] == pytest.approx(spent_upstream(upstream))
    assert sorted(event["model_group"] for event in inside) == ["large", "medium", "small"]
    for event in inside:
        assert event["identity"] == []
        assert set(event["markers"]) == {"composite_run", "composite_stage", "composite_node"}
    assert {event["markers"]["composite_node"] for event in inside} == {"small", "medium", "large"}
    assert sum(event["logged_cost_usd"] for event in inside) == pytest.approx(spent_upstream(upstream))


# LiteLLM puts no cost into the headers of `/v1/messages`.
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/completions"])
def test_a_plain_answer_has_the_cost_in_its_header(proxy: Proxy, upstream: ThreadedServer, path: str) -> None:
    body = {"model": "team-moa", "max_tokens": 500, "messages": MESSAGES, "input": "Hello", "prompt": "Hello"}
    wanted = {"/v1/responses": "input", "/v1/completions": "prompt"}.get(path, "messages")
    kept = {key: value for key, value in body.items() if key in ("model", "max_tokens", wanted)}
    if path == "/v1/responses":
        kept.pop("max_tokens")
    response = proxy.post(kept, path=path)
    assert response.status_code == 200, response.text
    names = ("x-litellm-response-cost", "llm_provider-x-litellm-response-cost")
    told = [float(response.headers[name]) for name in names if name in response.headers]
    assert told
    assert told == [pytest.approx(spent_upstream(upstream))] * len(told)


@every_way
def test_a_failed_run_is_charged_what_it_spent_before(
    proxy: Proxy, key: str, upstream: ThreadedServer, way: Way
) -> None:
    with contextlib.suppress(openai.APIError, anthropic.APIError):
        way.ask(proxy, "broken-at-the-end", key=key)
    (charge,) = charges(proxy, key)
    assert charge["cost_usd"] == pytest.approx(spent_upstream(upstream))
    assert charge["cost_usd"] > 0


@pytest.mark.parametrize("model", ["broken-but", "broken-but-team", "broken-and"])
@every_way
def test_a_run_that_failed_is_charged_with_what_answered_in_its_place(
    proxy: Proxy, key: str, upstream: ThreadedServer, way: Way, model: str
) -> None:
    with contextlib.suppress(openai.APIError, anthropic.APIError):
        way.ask(proxy, model, key=key)
    (charge,) = charges(proxy, key)
    assert charge["cost_usd"] == pytest.approx(spent_upstream(upstream))
    assert "always-refused" in [record.model for record in upstream.ledger.records]


def test_a_refused_request_costs_nothing(proxy: Proxy, key: str) -> None:
    assert proxy.post({"model": "team-moa", "messages": MESSAGES, "layers": 9}, key=key).status_code == 403
    assert [charge["cost_usd"] for charge in charges(proxy, key)] == [0]


_CHAT: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 500}
_ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": _CHAT,
    "/v1/messages": _CHAT,
    "/v1/responses": {"input": "Hello"},
    "/v1/completions": {"prompt": "Hello"},
}
HANGING_UP = [(path, stream) for path in _ASKED for stream in (False, True)]


@pytest.mark.parametrize(("path", "stream"), HANGING_UP)
def test_a_client_that_hangs_up_ends_the_run_and_is_charged_what_it_spent(
    proxy: Proxy, key: str, upstream: ThreadedServer, path: str, stream: bool
) -> None:
    _hang_up(proxy, upstream, key, path, stream=stream)
    (charge,) = charges(proxy, key)
    assert charge["cost_usd"] == pytest.approx(spent_upstream(upstream))
    assert charge["cost_usd"] > 0


def connected(proxy: Proxy) -> socket.socket:
    address = urlsplit(proxy.url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def request_head(proxy: Proxy, key: str, path: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(proxy.url).netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()


def _hang_up(proxy: Proxy, upstream: ThreadedServer, key: str, path: str, *, stream: bool) -> None:
    """Ask, and leave while the final model keeps one waiting; every call upstream ends with it."""
    upstream.set_scenario("gpt-4o", {"hang": True})
    body = json.dumps({"model": "team-moa", "stream": stream, **_ASKED[path]}).encode()
    with connected(proxy) as client:
        client.sendall(request_head(proxy, key, path, body) + body)
        upstream.wait_until(lambda ledger: any(record.model == "gpt-4o" for record in ledger.records))
    upstream.wait_until(lambda ledger: ledger.open_requests == 0)
    final = [record for record in upstream.ledger.records if record.model == "gpt-4o"]
    assert [record.disconnected for record in final] == [True]


def test_a_client_cannot_keep_its_run_out_of_the_books(proxy: Proxy) -> None:
    response = proxy.post({"model": "team-moa", "messages": MESSAGES, "no-log": True})
    assert response.status_code == 403, response.text
