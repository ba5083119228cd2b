"""Where a LiteLLM lacks a private name that a decision of the proxy rests on, the decision is no."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from composite_llm.backend import compat
from composite_llm.model.errors import OptionNotAllowed
from composite_llm.proxy.client import ProxyClient, proxy_client
from composite_llm.proxy.deployment import OwnDeployment
from composite_llm.proxy.litellm_names import _lists_are_missing, is_litellms_own
from composite_llm.proxy.owner import authenticates, owner_of
from composite_llm.proxy.request import ProxyRequest


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """LiteLLM's modules of a proxy without a key, which allow everything."""
    router = SimpleNamespace(
        model_names={"gpt"}, model_group_alias={}, get_model_list=list, get_model_info=lambda _: None
    )
    names = {
        "litellm.proxy.proxy_server": {
            "llm_router": router,
            "llm_model_list": [],
            "general_settings": {},
            "master_key": None,
            "user_custom_auth": None,
            "prisma_client": None,
            "user_api_key_cache": object(),
        },
        "litellm.proxy.auth.auth_checks": {
            "can_key_call_resolved_model": takes("model", "llm_model_list", "valid_token", "llm_router"),
            "can_user_call_model": takes("model", "llm_router", "user_object"),
            "get_user_object": takes("user_id", "prisma_client", "user_api_key_cache", "user_id_upsert"),
        },
    }
    modules = {}
    for name, values in names.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(values)
        monkeypatch.setitem(sys.modules, name, modules[name])
    return modules


def takes(*names: str) -> Any:
    """A function of these parameters that allows everything."""
    scope: dict[str, Any] = {}
    exec(f"async def allows(*, {', '.join(names)}): return None", scope)
    return scope["allows"]


def client() -> ProxyClient:
    own = OwnDeployment("1", ("moa",), "composite/moa/gpt", {}, (), {})
    token = SimpleNamespace(team_id=None, user_id="someone")
    return ProxyClient("moa/gpt", ProxyRequest(key=token), own, {}, ())


def may_call() -> bool:
    return asyncio.run(client()._may_call("gpt"))


def call() -> Any:
    return proxy_client({"model": "moa/gpt", "litellm_params": {}}, {})


def test_with_all_names_a_model_is_allowed(server: dict[str, Any]) -> None:
    assert may_call()
    assert not authenticates()


@pytest.mark.parametrize(
    "name",
    [compat.KEY_MAY_CALL, compat.USER_MAY_CALL, compat.USER_OBJECT, compat.DATABASE, compat.KEY_CACHE],
    ids=str,
)
def test_without_a_name_that_checks_models_none_is_allowed(name: compat.PrivateName, server: dict[str, Any]) -> None:
    delattr(server[name.module], name.names[0])
    assert not may_call()


@pytest.mark.parametrize("name", [compat.KEY_MAY_CALL, compat.USER_MAY_CALL, compat.USER_OBJECT], ids=str)
def test_a_check_that_is_called_otherwise_allows_nothing(name: compat.PrivateName, server: dict[str, Any]) -> None:
    setattr(server[name.module], name.names[0], takes("of_another_form"))
    assert not may_call()


@pytest.mark.parametrize("name", [compat.GENERAL_SETTINGS, compat.MASTER_KEY, compat.CUSTOM_AUTH], ids=str)
def test_a_proxy_of_which_nobody_knows_whether_it_authenticates_does(
    name: compat.PrivateName, server: dict[str, Any]
) -> None:
    assert owner_of(ProxyRequest()) == "anybody"
    delattr(server[name.module], name.names[0])
    assert authenticates()
    assert owner_of(ProxyRequest()) != owner_of(ProxyRequest())


def test_a_proxy_without_a_known_router_refuses_composites(server: dict[str, Any]) -> None:
    delattr(server[compat.LLM_ROUTER.module], "llm_router")
    with pytest.raises(OptionNotAllowed, match="belongs to no request"):
        call()


def test_a_program_that_has_loaded_the_proxy_without_being_one_is_none(server: dict[str, Any]) -> None:
    server[compat.LLM_ROUTER.module].llm_router = None
    assert call() is None


@pytest.mark.parametrize("name", [compat.CALL_NAMES, compat.OPENAI_NAMES, *compat.DEPLOYMENT_NAMES], ids=str)
def test_without_litellms_lists_every_parameter_that_is_not_known_is_its_own(
    name: compat.PrivateName, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_litellms_own("a_providers_parameter")
    monkeypatch.delattr(sys.modules[name.module], name.names[0])
    _lists_are_missing.cache_clear()
    try:
        assert is_litellms_own("a_providers_parameter")
        assert not is_litellms_own("temperature")
    finally:
        _lists_are_missing.cache_clear()
