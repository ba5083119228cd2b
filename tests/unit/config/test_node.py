from __future__ import annotations

import pytest
from pydantic import ValidationError

from composite_llm.config.node import Node, NodeSettings, resolved_params
from composite_llm.model.errors import InvalidOption


def test_a_string_is_a_node_with_that_model_and_the_defaults() -> None:
    node = Node.model_validate("openai/gpt")
    assert node == Node(model="openai/gpt")
    assert (node.label, node.num_retries, node.timeout, node.fallbacks, node.params) == ("openai/gpt", 2, None, (), {})


def test_a_string_is_settings_with_that_model_too() -> None:
    assert NodeSettings.model_validate("openai/gpt").model == "openai/gpt"


def test_what_is_no_setting_is_a_call_parameter() -> None:
    node = Node.model_validate({"model": "m", "name": "n", "temperature": 0.5, "api_base": "http://x"})
    assert node.label == "n"
    assert node.params == {"temperature": 0.5, "api_base": "http://x"}


def test_fallbacks_may_be_strings_and_mappings_and_have_fallbacks() -> None:
    node = Node.model_validate({"model": "a", "fallbacks": ["b", {"model": "c", "fallbacks": ["d"]}]})
    assert [fallback.model for fallback in node.fallbacks] == ["b", "c"]
    assert node.fallbacks[1].fallbacks[0].model == "d"


@pytest.mark.parametrize(
    ("model", "composite"), [("composite/moa/a", True), ("compositex", False), ("openai/composite/x", False)]
)
def test_a_node_is_composite_by_its_prefix(model: str, composite: bool) -> None:
    assert Node(model=model).is_composite is composite


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({}, id="no-model"),
        pytest.param("", id="empty-string"),
        pytest.param({"model": "a", "timeout": 0}, id="no-time"),
        pytest.param({"model": "a", "num_retries": -1}, id="negative-retries"),
        pytest.param({"model": "a", "hedge_after_s": 0}, id="hedge-at-once"),
        pytest.param({"model": "a", "context_window": 0}, id="no-window"),
        pytest.param(None, id="nothing"),
        pytest.param(["a"], id="list"),
    ],
)
def test_an_unusable_node_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Node.model_validate(value)


def test_environment_values_are_read_when_the_call_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    params = {"api_key": "os.environ/NODE_KEY", "headers": {"x": "os.environ/NODE_KEY"}, "temperature": 1}
    monkeypatch.setenv("NODE_KEY", "first")
    assert resolved_params(params)["api_key"] == "first"
    monkeypatch.setenv("NODE_KEY", "second")
    assert resolved_params(params) == {"api_key": "second", "headers": {"x": "second"}, "temperature": 1}


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_KEY", raising=False)
    with pytest.raises(InvalidOption, match="api_key: the environment has no variable 'NODE_KEY'"):
        resolved_params({"api_key": "os.environ/NODE_KEY"})


def test_text_that_only_mentions_the_environment_is_left_alone() -> None:
    assert resolved_params({"user": "see os.environ/HOME"}) == {"user": "see os.environ/HOME"}
