"""`examples/proxy/config.yaml` says of its composites what their nodes make of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
import yaml

import composite_llm
from composite_llm.config.profiles import Profiles
from composite_llm.provider.deployment_info import deployment_info
from tests.support.proxies import EXAMPLE

CONFIG: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
COMPOSITES = {
    entry["model_name"]: entry
    for entry in CONFIG["model_list"]
    if entry["litellm_params"]["model"].startswith("composite/")
}


@pytest.fixture(autouse=True)
def _table_as_before(provider: None) -> Iterator[None]:
    before = {name: dict(row) for name, row in litellm.model_cost.items()}
    yield
    litellm.model_cost.clear()
    litellm.model_cost.update(before)
    litellm.register_model({})


@pytest.mark.parametrize("name", COMPOSITES)
def test_the_examples_model_info_is_what_its_nodes_make_of_it(name: str) -> None:
    assert COMPOSITES
    said, derived = COMPOSITES[name]["model_info"], deployment_info(EXAMPLE, name, Profiles())
    for key in said.keys() - {"composite", "disable_background_health_check"}:
        assert said[key] == derived[key], key
    assert {"input_cost_per_token", "max_input_tokens", "supports_vision"} <= said.keys()


def test_no_health_check_spends_a_deliberation_and_no_router_repeats_one() -> None:
    for entry in COMPOSITES.values():
        assert entry["model_info"]["disable_background_health_check"] is True
    assert CONFIG["router_settings"]["num_retries"] == 0
    assert CONFIG["general_settings"]["cancel_on_disconnect"] is True


def _file(directory: Path, *entries: dict[str, Any]) -> Path:
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump({"model_list": list(entries)}), encoding="utf-8")
    return path


def _one(name: str, model: str, info: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    return {
        "model_name": name,
        "litellm_params": {"model": model, "api_key": "sk-x", **settings},
        "model_info": info or {},
    }


def test_the_worst_of_a_names_deployments_counts(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        _one("pool", "openai/gpt-4o"),
        _one("pool", "openai/gpt-3.5-turbo", {"max_input_tokens": 5000}),
        _one("wise", "composite/moa/pool", proposers=["pool"]),
    )
    info = deployment_info(path, "wise", Profiles())
    assert info["max_input_tokens"] == 5000
    assert info["supports_vision"] is False
    assert info["input_cost_per_token"] == 2 * 2.5e-6


def test_a_node_without_a_price_gives_a_block_without_prices(tmp_path: Path) -> None:
    path = _file(tmp_path, _one("small", "openai/nobody-knows-this"), _one("wise", "composite/moa/small", samples=2))
    assert "input_cost_per_token" not in deployment_info(path, "wise", Profiles())


def test_a_variable_that_is_not_set_does_not_matter(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        _one("small", "openai/gpt-4o", api_base="os.environ/NOT_SET_HERE"),
        _one("wise", "composite/moa/small"),
    )
    assert deployment_info(path, "wise", Profiles())["max_input_tokens"] == 128000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model_list: [", "cannot be read"),
        ("model_list: 3", "not a list of models"),
        ("[]", "not a list of models"),
        ("model_list: [{model_name: small, litellm_params: {model: openai/gpt-4o}}]", "no composite named 'wise'"),
    ],
)
def test_a_file_that_is_of_no_use_is_an_error_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(composite_llm.InvalidConfig, match=said) as caught:
        deployment_info(path, "wise", Profiles())
    assert str(path) in str(caught.value)


def test_an_option_of_a_deployment_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    path = _file(tmp_path, _one("small", "openai/gpt-4o"), _one("wise", "composite/moa/small", proposers=[]))
    with pytest.raises(composite_llm.InvalidOption, match="proposers"):
        deployment_info(path, "wise", Profiles())
