"""The proxy's response cache, in the memory of one proxy; `test_replicas.py` has the one in Redis."""

from __future__ import annotations

from typing import Any

import pytest

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.clients import QUESTION, Way
from tests.support.proxies import Proxy, eventually

CACHED = {"cache": {"use-cache": True}}


def _ask(proxy: Proxy, question: str, model: str = "plain-moa", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": question}], **CACHED, **more}
    response = proxy.post(body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_repeated_request_is_a_hit_and_is_charged_nothing(proxy: Proxy, upstream: ThreadedServer) -> None:
    first = _ask(proxy, "Asked twice?")
    upstream.ledger.clear()
    assert _ask(proxy, "Asked twice?")["id"] == first["id"]
    assert upstream.ledger.records == []
    hits = eventually(lambda: [event for event in proxy.written("events") if event["cache_hit"]])
    assert [hit["logged_cost_usd"] for hit in hits] == [0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"proposers": ["small"]}, {"proposers": ["medium"]}),
        ({"extra_body": {"proposers": ["small"]}}, {"extra_body": {"proposers": ["medium"]}}),
        ({"optional_params": {"layers": 1}}, {"optional_params": {"layers": 2}}),
        ({"reasoning": "off"}, {}),
    ],
    ids=["body", "extra_body", "optional_params", "reasoning"],
)
def test_other_options_are_another_answer(
    proxy: Proxy, upstream: ThreadedServer, first: dict[str, Any], second: dict[str, Any]
) -> None:
    one = _ask(proxy, f"Options {first}?", "open-moa", **first)
    upstream.ledger.clear()
    assert _ask(proxy, f"Options {first}?", "open-moa", **second)["id"] != one["id"]
    assert upstream.ledger.records


def test_a_refused_option_is_refused_though_the_answer_is_in_the_cache(proxy: Proxy) -> None:
    _ask(proxy, "Refused and kept?")
    body = {"model": "plain-moa", "messages": [{"role": "user", "content": "Refused and kept?"}], **CACHED}
    assert proxy.post({**body, "proposers": ["large"]}).status_code == 403


def test_a_cached_stream_has_the_text(proxy: Proxy, upstream: ThreadedServer) -> None:
    way = Way("chat", streamed=True)
    first = way.ask(proxy, "plain-moa", f"{QUESTION} Streamed.", extra_body=CACHED)
    upstream.ledger.clear()
    again = way.ask(proxy, "plain-moa", f"{QUESTION} Streamed.", extra_body=CACHED)
    assert again.text == first.text
    assert wire.models(upstream) == []
