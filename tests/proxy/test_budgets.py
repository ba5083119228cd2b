"""A key's budget, by LiteLLM's own counters and its own check; `deployed/keys.py` says what stands in for its database."""

from __future__ import annotations

import contextlib
import json
import uuid

import anthropic
import openai
import pytest
from litellm.proxy._types import hash_token

from fake_server import ThreadedServer
from tests.proxy.test_money import connected, request_head
from tests.support.clients import WAYS, Way
from tests.support.proxies import Proxy, eventually


def _cost_of_next(proxy: Proxy, key: str, way: Way, model: str) -> float:
    """Ask, and wait until it is charged."""
    before = len(_charged(proxy, key))
    with contextlib.suppress(openai.APIError, anthropic.APIError):
        way.ask(proxy, model, key=key)
    return eventually(lambda: _charged(proxy, key)[before:])[0]


def _charged(proxy: Proxy, key: str) -> list[float]:
    return [charge["cost_usd"] for charge in proxy.written("charges") if charge["key"] == hash_token(key)]


def _refused(proxy: Proxy, key: str, way: Way, model: str) -> bool:
    try:
        error = way.ask(proxy, model, key=key).error
    except (openai.APIError, anthropic.APIError) as raised:
        error = str(raised)
    assert error is None or "budget" in error.lower()
    return error is not None


@pytest.mark.parametrize("model", ["team-moa", "plain-moa"], ids=["with-worst-case-prices", "without-prices"])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_key_is_refused_once_its_runs_have_used_up_its_budget_and_not_before(
    proxy: Proxy, upstream: ThreadedServer, way: Way, model: str
) -> None:
    key = proxy.add_key(f"sk-{uuid.uuid4().hex}")
    cost_usd = _cost_of_next(proxy, key, way, model)
    # Room for one more (the marks of a run differ by some tokens), which a run that is counted twice would not leave.
    proxy.add_key(key, max_budget=1.5 * cost_usd)
    assert _cost_of_next(proxy, key, way, model) == pytest.approx(cost_usd, rel=0.2)
    eventually(lambda: _refused(proxy, key, way, model))
    upstream.ledger.clear()
    assert _refused(proxy, key, way, model)
    assert upstream.ledger.records == []


def test_a_failed_run_uses_up_the_budget_too(proxy: Proxy) -> None:
    key = proxy.add_key(f"sk-{uuid.uuid4().hex}")
    way = Way("chat", streamed=False)
    cost_usd = _cost_of_next(proxy, key, way, "broken-at-the-end")
    assert cost_usd > 0
    proxy.add_key(key, max_budget=0.5 * cost_usd)
    eventually(lambda: _refused(proxy, key, way, "plain-moa"))


@pytest.mark.parametrize("reasoning", ["summary", "off"])
@pytest.mark.parametrize("model", ["team-moa", "plain-moa"], ids=["with-worst-case-prices", "without-prices"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_client_that_hangs_up_uses_up_the_budget_by_what_it_is_charged(
    proxy: Proxy, upstream: ThreadedServer, path: str, model: str, reasoning: str
) -> None:
    key, way = proxy.add_key(f"sk-{uuid.uuid4().hex}"), Way("chat", streamed=False)
    one_usd = _cost_of_next(proxy, key, way, model)
    # Room for two members and two runs, which a client that leaves for free, or one that is counted twice, would not see.
    proxy.add_key(key, max_budget=2.4 * one_usd)
    upstream.set_scenario("gpt-4o", {"hang": True})
    _leave_in_the_final_call(proxy, upstream, key, {"model": model, "reasoning": reasoning, "path": path})
    upstream.reset_scenarios()
    left_usd = eventually(lambda: _charged(proxy, key)[1:])[0]
    assert 0 < left_usd < 0.4 * one_usd
    _cost_of_next(proxy, key, way, model)
    eventually(lambda: len(_charged(proxy, key)) == 3)
    assert not _refused(proxy, key, way, model)
    eventually(lambda: _refused(proxy, key, way, model))


def _leave_in_the_final_call(proxy: Proxy, upstream: ThreadedServer, key: str, asked: dict[str, str]) -> None:
    path = asked.pop("path")
    question = (
        {"prompt": "Hello"} if path == "/v1/completions" else {"messages": [{"role": "user", "content": "Hello"}]}
    )
    body = json.dumps({**asked, "stream": True, **question}).encode()
    with connected(proxy) as client:
        client.sendall(request_head(proxy, key, path, body) + body)
        upstream.wait_until(lambda ledger: any(r.model == "gpt-4o" and r.open for r in ledger.records))
    upstream.wait_until(lambda ledger: ledger.open_requests == 0)
