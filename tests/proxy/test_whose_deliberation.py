"""Kept deliberations, and the answers of failed runs, belong to who asked: key, user, team, organisation and end user."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.clients import WEATHER
from tests.support.proxies import Proxy

_number = itertools.count()
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]

Who = dict[str, Any]
STRANGERS: dict[str, tuple[Who, Who]] = {
    "two users": ({"user_id": "ann"}, {"user_id": "ben"}),
    "a user in two teams": ({"user_id": "ann", "team_id": "t1"}, {"user_id": "ann", "team_id": "t2"}),
    "a user in two organisations": ({"user_id": "ann", "org_id": "o1"}, {"user_id": "ann", "org_id": "o2"}),
    "a team of people nobody knows": ({"team_id": "t1"}, {"team_id": "t1"}),
    "people nobody knows": ({}, {}),
    "end users that nobody vouches for": ({"end_user_id": "c1"}, {"end_user_id": "c1"}),
    "two tokens": ({"jwt_claims": {"sub": "ann"}}, {"jwt_claims": {"sub": "ben"}}),
    "two end users of a user": ({"user_id": "ann", "end_user_id": "c1"}, {"user_id": "ann", "end_user_id": "c2"}),
}
ITSELF: dict[str, Who] = {
    "a user": {"user_id": "ann"},
    "a user of a team": {"user_id": "ann", "team_id": "t1"},
    "a token": {"jwt_claims": {"sub": "ann"}},
}


def _key(proxy: Proxy, who: Who) -> str:
    return proxy.add_key(f"sk-caller-{next(_number)}", keyless=True, **who)


def _ask(proxy: Proxy, model: str, messages: list[Any], key: str, **more: Any) -> dict[str, Any]:
    response = proxy.post({"model": model, "messages": messages, **more}, key=key)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def _tool_step(proxy: Proxy, upstream: ThreadedServer, first: str, second: str) -> list[str]:
    """Which models the second caller's step asks, that follows the first caller's question."""
    messages: list[Any] = [{"role": "user", "content": f"How is the weather in Oslo, for the {next(_number)}th time?"}]
    message = _ask(proxy, "agent", messages, first, tools=TOOLS)["choices"][0]["message"]
    (call,) = message["tool_calls"]
    upstream.ledger.clear()
    step = [
        *messages,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "4 degrees"},
    ]
    _ask(proxy, "agent", step, second, tools=TOOLS)
    return sorted(wire.models(upstream))


@pytest.mark.parametrize("name", STRANGERS)
def test_a_deliberation_is_not_used_for_another_caller(proxy: Proxy, upstream: ThreadedServer, name: str) -> None:
    first, second = STRANGERS[name]
    asked = _tool_step(proxy, upstream, _key(proxy, first), _key(proxy, second))
    assert asked == ["calls-tools", "gpt-4o-mini"]


@pytest.mark.parametrize("name", ITSELF)
def test_it_is_used_for_the_same_caller(proxy: Proxy, upstream: ThreadedServer, name: str) -> None:
    asked = _tool_step(proxy, upstream, _key(proxy, ITSELF[name]), _key(proxy, ITSELF[name]))
    assert asked == ["calls-tools"]


def test_a_key_has_its_own(proxy: Proxy, upstream: ThreadedServer) -> None:
    mine, theirs = proxy.add_key("sk-of-mine"), proxy.add_key("sk-of-theirs")
    assert _tool_step(proxy, upstream, mine, mine) == ["calls-tools"]
    assert _tool_step(proxy, upstream, mine, theirs) == ["calls-tools", "gpt-4o-mini"]


def _after_a_failure(proxy: Proxy, upstream: ThreadedServer, first: str, second: str) -> list[str]:
    body = {
        "model": "plain-moa",
        "messages": [{"role": "user", "content": f"Which bridge is the oldest, for the {next(_number)}th time?"}],
    }
    upstream.set_scenario("gpt-4o", {"error": {"status": 500}})
    assert proxy.post(body, key=first).status_code >= 500
    upstream.reset_scenarios()
    upstream.ledger.clear()
    assert proxy.post(body, key=second).status_code == 200
    return sorted(wire.models(upstream))


@pytest.mark.parametrize("name", STRANGERS)
def test_answers_of_a_failed_run_are_not_used_for_another_caller(
    proxy: Proxy, upstream: ThreadedServer, name: str
) -> None:
    first, second = STRANGERS[name]
    asked = _after_a_failure(proxy, upstream, _key(proxy, first), _key(proxy, second))
    assert asked == ["gpt-4.1-mini", "gpt-4o", "gpt-4o-mini"]


def test_they_are_used_for_the_same_caller(proxy: Proxy, upstream: ThreadedServer) -> None:
    who = {"user_id": "ann"}
    assert _after_a_failure(proxy, upstream, _key(proxy, who), _key(proxy, who)) == ["gpt-4o"]
