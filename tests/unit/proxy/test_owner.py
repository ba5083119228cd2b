from __future__ import annotations

import itertools
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from composite_llm.proxy.owner import authenticates, owner_of
from composite_llm.proxy.request import ProxyRequest


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(master_key="sk-master", user_custom_auth=None, general_settings={})
    monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", made)
    return made


def owner(**known: Any) -> str:
    return owner_of(ProxyRequest(key=SimpleNamespace(**known)))


CALLERS: dict[str, dict[str, Any]] = {
    "a key": {"token": "hash-1", "api_key": "hash-1"},
    "another key": {"token": "hash-2", "api_key": "hash-2"},
    "a user": {"user_id": "ann"},
    "another user": {"user_id": "ben"},
    "a user in a team": {"user_id": "ann", "team_id": "t1"},
    "in another team": {"user_id": "ann", "team_id": "t2"},
    "in an organisation": {"user_id": "ann", "org_id": "o1"},
    "a key for an end user": {"token": "hash-1", "api_key": "hash-1", "end_user_id": "customer-1"},
    "for another end user": {"token": "hash-1", "api_key": "hash-1", "end_user_id": "customer-2"},
    "claims of a token": {"jwt_claims": {"sub": "ann", "iss": "a"}},
    "other claims": {"jwt_claims": {"sub": "ben", "iss": "a"}},
    "an agent": {"agent_id": "a1"},
}


def test_every_caller_is_its_own_owner_again_and_again(proxy: SimpleNamespace) -> None:
    owners = {name: owner(**known) for name, known in CALLERS.items()}
    for one, other in itertools.combinations(CALLERS, 2):
        assert owners[one] != owners[other], (one, other)
    assert owners == {name: owner(**known) for name, known in CALLERS.items()}


@pytest.mark.parametrize(
    "known",
    [{}, {"team_id": "t1"}, {"org_id": "o1"}, {"end_user_id": "customer-1"}, {"user_id": "", "token": None}],
    ids=str,
)
def test_of_whom_nothing_personal_is_known_each_request_is_its_own(
    known: dict[str, Any], proxy: SimpleNamespace
) -> None:
    request = ProxyRequest(key=SimpleNamespace(**known))
    assert owner_of(request) == owner_of(request)
    assert owner_of(request) != owner(**known)


def test_a_proxy_without_authentication_has_one_caller(proxy: SimpleNamespace) -> None:
    proxy.master_key = None
    assert owner() == owner() == owner_of(ProxyRequest())


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({"master_key": None}, False),
        ({}, True),
        ({"master_key": None, "user_custom_auth": print}, True),
        ({"master_key": None, "general_settings": {"enable_jwt_auth": True}}, True),
        ({"master_key": None, "general_settings": {"enable_jwt_auth": False}}, False),
        ({"master_key": None, "general_settings": None}, False),
    ],
    ids=str,
)
def test_whether_a_proxy_asks_who_it_is(settings: dict[str, Any], known: bool, proxy: SimpleNamespace) -> None:
    vars(proxy).update(settings)
    assert authenticates() is known
