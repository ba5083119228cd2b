"""A proxy keeps its runs where `COMPOSITE_LLM_TELEMETRY` says; it never calls `register`."""

from __future__ import annotations

from typing import Any

from composite_llm import ExecutionContext, TraceStore
from composite_llm.observe.records import RunRecord
from composite_llm.observe.store import StoreUnavailable
from fake_server import ThreadedServer
from tests.support.proxies import Proxy, eventually

QUESTION = "WHICH-BRIDGE-IS-THE-OLDEST?"
MESSAGES = [{"role": "user", "content": QUESTION}]


def runs(proxy: Proxy, **filters: Any) -> list[RunRecord]:
    """What is kept by now; the proxy writes after it has answered."""
    try:
        return TraceStore(proxy.directory / "traces.db").runs(**filters)
    except StoreUnavailable:
        return []


def test_a_run_is_kept_with_its_key_and_what_its_client_said_about_it(proxy: Proxy, upstream: ThreadedServer) -> None:
    context = ExecutionContext(user_id="ada", project="bridges", session_id="s-17", tags=("nightly",))
    key = proxy.add_key("sk-key-of-the-telemetry-test")
    body = {"model": "priced", "messages": MESSAGES, "metadata": context.as_metadata()}
    response = proxy.post(body, key=key)
    assert response.status_code == 200, response.text
    (run,) = eventually(lambda: runs(proxy, user="ada", status="ok"))
    assert (run.project, run.session, run.model) == ("bridges", "s-17", "composite/moa/openai/gpt-4o")
    assert "nightly" in run.tags
    assert run.usage.total_tokens == response.json()["usage"]["total_tokens"]
    assert run.cost_usd == float(response.headers["x-litellm-response-cost"])
    assert run.key
    assert not run.key.startswith("sk-")
    assert run.question is None
    written = b"".join(file.read_bytes() for file in proxy.directory.glob("traces.db*"))
    assert QUESTION.encode() not in written
    assert key.encode() not in written


def test_a_used_up_budget_is_a_400_for_every_client(proxy: Proxy, upstream: ThreadedServer) -> None:
    body = {"model": "budgeted", "messages": MESSAGES}
    assert proxy.post(body).status_code == 200
    asked = len(upstream.ledger.records)
    for stream in (False, True):
        response = proxy.post({**body, "stream": stream}, key=proxy.add_key("sk-another-client"))
        assert (response.status_code, response.json()["error"]["type"]) == (400, "BudgetExceeded"), response.text
        assert "max_cost_usd_per_day of 1e-09 is reached" in response.text
    assert len(upstream.ledger.records) == asked
