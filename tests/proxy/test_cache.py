"""The proxy's response cache, in the memory of one proxy; `test_replicas.py` has the one in Redis."""

from __future__ import annotations

from typing import Any

import pytest

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.clients import QUESTION, WAYS, Way
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


CAPPED: dict[str, dict[str, Any]] = {
    "a key's cap": {"metadata": {"composite": {"max_calls": 1}}},
    "a team's cap": {"team_id": "t9", "team_metadata": {"composite": {"max_calls": 1}}},
}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", CAPPED)
def test_what_a_cap_made_of_an_answer_is_not_served_to_those_without(
    proxy: Proxy, upstream: ThreadedServer, way: Way, name: str
) -> None:
    question = f"Capped by {name}, {way}?"
    key = proxy.add_key(f"sk-capped-{way}-{name[2]}", **CAPPED[name])
    way.ask(proxy, "plain-moa", question, key=key, extra_body=CACHED)
    assert wire.models(upstream) == ["gpt-4o"]
    upstream.ledger.clear()
    way.ask(proxy, "plain-moa", question, extra_body=CACHED)
    assert set(wire.models(upstream)) == {"gpt-4.1-mini", "gpt-4o", "gpt-4o-mini"}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_neither_is_an_answer_that_lacks_a_member(proxy: Proxy, upstream: ThreadedServer, way: Way) -> None:
    question = f"Without a member, {way}?"
    upstream.set_scenario("gpt-4o-mini", {"error": {"status": 400}})
    way.ask(proxy, "plain-moa", question, extra_body=CACHED)
    upstream.reset_scenarios()
    upstream.ledger.clear()
    way.ask(proxy, "plain-moa", question, extra_body=CACHED)
    assert "gpt-4o-mini" in wire.models(upstream)


@pytest.mark.parametrize("way", [way for way in WAYS if way.endpoint == "chat"], ids=str)
def test_a_whole_answer_of_one_key_is_a_hit_for_another(proxy: Proxy, upstream: ThreadedServer, way: Way) -> None:
    question = f"Whole, {way}?"
    way.ask(proxy, "plain-moa", question, extra_body=CACHED)
    upstream.ledger.clear()
    way.ask(proxy, "plain-moa", question, key=proxy.add_key("sk-another-one"), extra_body=CACHED)
    assert upstream.ledger.records == []
