"""What a proxy says about a composite, and what asking costs."""

from __future__ import annotations

from fake_server import ThreadedServer
from tests.support.proxies import Proxy


def test_the_list_of_models_names_the_composites(proxy: Proxy) -> None:
    names = {entry["id"] for entry in proxy.get("/v1/models")["data"]}
    assert {"team-moa", "team-council", "small"} <= names


def test_the_models_info_has_windows_and_capabilities(proxy: Proxy) -> None:
    (entry,) = [entry for entry in proxy.get("/model/info")["data"] if entry["model_name"] == "team-moa"]
    info = entry["model_info"]
    assert (info["mode"], info["max_input_tokens"], info["max_output_tokens"]) == ("chat", 128000, 16384)
    assert info["supports_function_calling"]
    assert info["supports_reasoning"]


def test_the_model_groups_info_has_them_too(proxy: Proxy) -> None:
    (group,) = [entry for entry in proxy.get("/model_group/info")["data"] if entry["model_group"] == "team-council"]
    assert group["max_input_tokens"] == 128000
    assert group["supports_function_calling"]


def test_no_info_shows_a_key(proxy: Proxy) -> None:
    for path in ("/model/info", "/model_group/info", "/v1/models"):
        assert "sk-upstream-secret" not in str(proxy.get(path))


def test_a_health_check_spends_no_deliberation(proxy: Proxy, upstream: ThreadedServer) -> None:
    proxy.get("/health?model=team-council")
    proxy.get("/health/liveliness")
    proxy.get("/health/readiness")
    assert upstream.ledger.records == []
