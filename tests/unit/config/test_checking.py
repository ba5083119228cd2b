from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.config.checking import checked, misspelt_node_keys, shown
from composite_llm.config.node import Node
from composite_llm.model.errors import InvalidOption
from composite_llm.strategies.council import CouncilOptions
from composite_llm.strategies.moa import MoaOptions

SECRET = "sk-very-secret-1234"


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        pytest.param("quorum", 0, "0", id="number"),
        pytest.param("ranking", "best", "'best'", id="string"),
        pytest.param("api_key", SECRET, "***", id="key"),
        pytest.param("headers", {"x": SECRET}, "***", id="headers"),
        pytest.param("Authorization", SECRET, "***", id="capitals"),
        pytest.param("proposers.0.aws_secret_access_key", SECRET, "***", id="path-to-a-secret"),
        pytest.param("max_tokens", 5, "5", id="tokens-are-no-secret-when-a-number"),
        pytest.param("max_completion_tokens", 1.5, "1.5", id="fraction-of-tokens"),
        pytest.param("aggregator", {"model": "m", "api_key": SECRET}, "{model: 'm', api_key: ***}", id="mapping"),
        pytest.param("tool_executor", print, "a function", id="function"),
        pytest.param("criteria", "x" * 100, "'" + "x" * 58 + "…", id="long"),
    ],
)
def test_a_value_is_shown_short_and_never_when_secret(key: str, value: Any, text: str) -> None:
    assert shown(key, value) == text


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([{"api_key": SECRET}], id="in-a-list"),
        pytest.param([[{"model": "m", "api_key": SECRET}]], id="in-a-list-of-lists"),
        pytest.param(({"headers": {"Authorization": SECRET}},), id="in-a-tuple"),
        pytest.param({"deep": [{"password": SECRET}]}, id="in-a-list-in-a-mapping"),
        pytest.param({"password": 271828}, id="a-number"),
    ],
)
def test_a_secret_stays_hidden_however_deep_it_lies(value: Any) -> None:
    text = shown("proposers", value)
    assert SECRET not in text
    assert "271828" not in text


def test_a_value_that_contains_itself_can_be_shown() -> None:
    value: dict[str, Any] = {}
    value["again"] = value
    assert len(shown("aggregator", value)) < 200


@pytest.mark.parametrize(
    ("options", "key", "parts"),
    [
        pytest.param({"layers": 0}, "layers", ["layers: got 0", "greater than 0"], id="number-too-small"),
        pytest.param({"layers": "many"}, "layers", ["got 'many'", "valid integer"], id="wrong-type"),
        pytest.param({"fanout": "never"}, "fanout", ["got 'never'", "'user_turn' or 'every_call'"], id="literal"),
        pytest.param({"proposers": []}, "proposers", ["got []", "at least 1 item"], id="empty-list"),
        pytest.param({"proposers": ["a", ""]}, "proposers.1.model", ["got ''", "at least 1 character"], id="no-model"),
        pytest.param({"proposers": ["a", {"name": "b"}]}, "proposers.1.model", ["is missing"], id="model-missing"),
        pytest.param({"proposers": [7]}, "proposers.0", ["got 7"], id="node-of-a-wrong-type"),
        pytest.param(
            {"proposers": [{"model": "a", "timeout": -1}]}, "proposers.0.timeout", ["got -1"], id="setting-of-a-node"
        ),
        pytest.param(
            {"proposers": [{"model": "a", "fallbacks": ["b", {}]}]},
            "proposers.0.fallbacks.1.model",
            ["is missing"],
            id="fallback",
        ),
        pytest.param({"aggregator": {"num_retries": -1}}, "aggregator.num_retries", ["got -1"], id="aggregator"),
    ],
)
def test_an_error_names_key_value_and_what_is_allowed(options: dict[str, Any], key: str, parts: list[str]) -> None:
    with pytest.raises(InvalidOption) as raised:
        checked(MoaOptions, options)
    assert raised.value.key == key
    assert raised.value.status_code == 400
    for part in parts:
        assert part in str(raised.value)


def test_a_path_is_put_before_the_key() -> None:
    with pytest.raises(InvalidOption, match=r"^profiles\.fast\.quorum: got 0"):
        checked(CouncilOptions, {"quorum": 0}, path="profiles.fast")


@given(
    st.recursive(
        st.just(SECRET),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.sampled_from(["api_key", "headers", "client_secret", "password"]), inner, min_size=1)
        ),
        max_leaves=5,
    ).filter(lambda value: isinstance(value, dict))
)
def test_no_complaint_about_an_option_shows_what_lies_under_a_secret_key(value: Any) -> None:
    for options in ({"ranking": value}, {"members": value}, {"members": [[value]]}, {"quorum": [value]}):
        with pytest.raises(InvalidOption) as raised:
            checked(CouncilOptions, options)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        pytest.param("modle", "model", id="model"),
        pytest.param("fallback", "fallbacks", id="fallbacks"),
        pytest.param("hedge_after", "hedge_after_s", id="unit"),
        pytest.param("num_retry", None, id="too-far"),
        pytest.param("temperature", None, id="call-parameter"),
        pytest.param("api_base", None, id="connection"),
        pytest.param("n", None, id="short"),
    ],
)
def test_a_misspelt_key_of_a_node_is_refused_and_a_call_parameter_is_not(key: str, meant: str | None) -> None:
    node = Node.model_validate({"model": "m", key: "value"})
    said = [error.message for error in misspelt_node_keys(node, "members.0")]
    assert said == ([] if meant is None else [f"members.0.{key}: unknown key; did you mean '{meant}'?"])
    assert node.params == {key: "value"}
