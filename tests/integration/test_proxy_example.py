"""`examples/proxy/config.yaml` says of its composites what their nodes make of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import litellm
import pytest
import yaml

import composite_llm
from composite_llm.config.plan import make_plan, nodes_of
from composite_llm.provider.worst_prices import worst_prices
from tests.support.proxies import EXAMPLE

CONFIG: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
COMPOSITES = {
    entry["model_name"]: entry
    for entry in CONFIG["model_list"]
    if entry["litellm_params"]["model"].startswith("composite/")
}


@pytest.fixture
def facts(provider: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from composite_llm.provider import registration

    monkeypatch.setenv("UPSTREAM_BASE", "http://127.0.0.1:9")
    monkeypatch.setenv("UPSTREAM_KEY", "sk-unused")
    before = {name: dict(row) for name, row in litellm.model_cost.items()}
    composite_llm.register(config={}, router=litellm.Router(model_list=CONFIG["model_list"]))
    yield registration.services().facts
    registration._router.own = None
    litellm.model_cost.clear()
    litellm.model_cost.update(before)
    litellm.register_model({})


@pytest.mark.parametrize("name", COMPOSITES)
def test_the_examples_model_info_is_what_its_nodes_make_of_it(facts: Any, name: str) -> None:
    from composite_llm.provider import registration

    settings = dict(COMPOSITES[name]["litellm_params"])
    plan = make_plan(settings.pop("model"), settings, registration.services().profiles)
    info = COMPOSITES[name]["model_info"]
    prices = worst_prices(plan, facts)
    assert prices is not None
    assert (info["input_cost_per_token"], info["output_cost_per_token"]) == (prices.input, prices.output)
    assert info["max_input_tokens"] == min(facts.context_window(node.model) for node in nodes_of(plan))
    assert info["max_output_tokens"] == facts.max_output_tokens(plan.final.model)
    assert info["supports_vision"] == facts.takes(plan.final.model, "image")


def test_no_health_check_spends_a_deliberation_and_no_router_repeats_one() -> None:
    for entry in COMPOSITES.values():
        assert entry["model_info"]["disable_background_health_check"] is True
    assert CONFIG["router_settings"]["num_retries"] == 0
    assert CONFIG["general_settings"]["cancel_on_disconnect"] is True
