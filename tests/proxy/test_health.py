"""What a proxy says about a composite, and what asking costs."""

from __future__ import annotations

import pytest

from fake_server import ThreadedServer
from tests.support.proxies import Proxy


def test_the_list_of_models_names_the_composites(proxy: Proxy) -> None:
    names = {entry["id"] for entry in proxy.get("/v1/models")["data"]}
    assert {"team-moa", "team-council", "small"} <= names


def test_the_list_of_models_has_their_windows(proxy: Proxy) -> None:
    (entry,) = [entry for entry in proxy.get("/v1/models")["data"] if entry["id"] == "team-moa"]
    assert (entry["mode"], entry["max_input_tokens"], entry["max_output_tokens"]) == ("chat", 128000, 16384)


@pytest.mark.parametrize(
    ("name", "prices"), {"team-moa": (3.05e-6, 1.72e-5), "team-council": (8.6e-6, 5.855e-5)}.items()
)
def test_the_models_info_has_windows_capabilities_and_worst_case_prices(
    proxy: Proxy, name: str, prices: tuple[float, float]
) -> None:
    (entry,) = [entry for entry in proxy.get("/model/info")["data"] if entry["model_name"] == name]
    (group,) = [entry for entry in proxy.get("/model_group/info")["data"] if entry["model_group"] == name]
    for info in (entry["model_info"], group):
        assert (info["max_input_tokens"], info["max_output_tokens"]) == (128000, 16384)
        assert (info["input_cost_per_token"], info["output_cost_per_token"]) == prices
        for flag in ("supports_function_calling", "supports_reasoning", "supports_vision"):
            assert info[flag] is True


def test_a_composite_without_a_block_of_its_own_still_shows_what_composites_can(proxy: Proxy) -> None:
    (entry,) = [entry for entry in proxy.get("/model/info")["data"] if entry["model_name"] == "plain-moa"]
    assert entry["model_info"]["supports_function_calling"]
    assert entry["model_info"]["max_input_tokens"] == 128000


def test_no_info_shows_a_key(proxy: Proxy) -> None:
    for path in ("/model/info", "/model_group/info", "/v1/models"):
        assert "sk-upstream-secret" not in str(proxy.get(path))


def test_a_health_check_spends_no_deliberation(proxy: Proxy, upstream: ThreadedServer) -> None:
    proxy.get("/health?model=team-council")
    proxy.get("/health/liveliness")
    proxy.get("/health/readiness")
    assert upstream.ledger.records == []
