"""The policy for clients of the proxy, as a function: everything is closed that nobody has opened."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.model.errors import OptionNotAllowed
from composite_llm.proxy.policy import (
    FREE,
    LOWER_ONLY,
    MAX_CLIENT_CHARACTERS,
    MAX_CLIENT_NODES,
    NEVER,
    UP_TO,
    check_client,
)


@pytest.mark.parametrize("option", sorted(ALL_OPTIONS - FREE - LOWER_ONLY - set(UP_TO)))
def test_every_option_that_the_policy_does_not_name_is_closed(option: str) -> None:
    with pytest.raises(OptionNotAllowed, match=option):
        check_client([(option, 1)], {}, ())


@pytest.mark.parametrize("name", sorted(NEVER))
def test_what_leads_elsewhere_stays_closed_though_the_operator_names_it(name: str) -> None:
    with pytest.raises(OptionNotAllowed, match=name):
        check_client([(name, "x")], {}, (name,))


@pytest.mark.parametrize(
    "name",
    [
        "aws_bedrock_runtime_endpoint",
        "aws_secret_access_key_id",
        "azure_ad_token",
        "client_secret",
        "vertex_credentials",
        "litellm_credential_name",
        "OPENAI_API_KEY",
        "apikey",
        "https_proxy",
        "no-log",
        "azure_endpoint",
        "aws_region_name",
        "vertex_project",
        "sagemaker_base_url",
        "aws_" + "x" * 60,
        "model_id",
        "deployment_id",
        "line\nbreak_api_key\n",
    ],
)
def test_a_parameter_that_names_an_endpoint_or_a_credential_is_closed(name: str) -> None:
    with pytest.raises(OptionNotAllowed) as caught:
        check_client([(name, "x")], {}, (name,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["temperature", "top_k", "max_tokens", "response_format", "prompt_cache_key", "user"])
def test_call_parameters_are_the_clients(name: str) -> None:
    check_client([(name, "x")], {}, ())


@pytest.mark.parametrize("option", sorted(LOWER_ONLY))
def test_a_limit_goes_down_and_not_up(option: str) -> None:
    check_client([(option, 3)], {option: 4}, ())
    check_client([(option, 4)], {option: 4}, ())
    check_client([(option, 10**9)], {option: None}, ())
    for value in (5, "5", float("inf"), float("nan"), [1], {"a": 1}, 10**400, "x" * 100_000):
        with pytest.raises(OptionNotAllowed, match=option) as caught:
            check_client([(option, value)], {option: 4}, ())
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("ceiling", "allowed"),
    {"off": {"off"}, "summary": {"off", "summary"}, "full": {"off", "summary", "full"}}.items(),
)
def test_reasoning_goes_up_to_what_the_operator_states(ceiling: str, allowed: set[str]) -> None:
    for value in ("off", "summary", "full", "", "everything", ["off"], {"off": 1}, 5):
        if isinstance(value, str) and value in allowed:
            check_client([("reasoning", value)], {"reasoning": ceiling}, ())
        else:
            with pytest.raises(OptionNotAllowed, match="reasoning"):
                check_client([("reasoning", value)], {"reasoning": ceiling}, ())


@pytest.mark.parametrize("value", ["off", "summary", "full"])
def test_where_the_operator_states_nothing_reasoning_is_free(value: str) -> None:
    check_client([("reasoning", value)], {"reasoning": None}, ())
    check_client([("reasoning", value)], {"reasoning": "off"}, ("reasoning",))


def test_the_second_of_two_places_is_looked_at_too() -> None:
    with pytest.raises(OptionNotAllowed, match="max_calls"):
        check_client([("max_calls", 1), ("max_calls", 9)], {"max_calls": 4}, ())


@pytest.mark.parametrize(
    "value", [[{"model": "small"}], ["small"] * (MAX_CLIENT_NODES + 1), "small", {"model": "small"}]
)
def test_opened_nodes_are_a_short_list_of_plain_names(value: Any) -> None:
    check_client([("proposers", ["small"] * MAX_CLIENT_NODES)], {}, ("proposers",))
    with pytest.raises(OptionNotAllowed, match="plain names"):
        check_client([("proposers", value)], {}, ("proposers",))


def test_an_opened_text_is_short() -> None:
    check_client([("criteria", "x" * MAX_CLIENT_CHARACTERS)], {}, ("criteria",))
    with pytest.raises(OptionNotAllowed, match="criteria"):
        check_client([("criteria", "x" * (MAX_CLIENT_CHARACTERS + 1))], {}, ("criteria",))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
_KEYS = st.sampled_from(sorted(ALL_OPTIONS | NEVER | LOWER_ONLY)) | st.text(max_size=30)


@given(
    sent=st.lists(st.tuples(_KEYS, _VALUES), max_size=5),
    limits=st.dictionaries(st.sampled_from(sorted(LOWER_ONLY)), st.integers(1, 100)),
    may_set=st.lists(_KEYS, max_size=4),
)
def test_whatever_a_client_sends_is_let_through_or_refused_in_one_line(
    sent: list[tuple[str, Any]], limits: dict[str, int], may_set: list[str]
) -> None:
    try:
        check_client(sent, limits, may_set)
    except OptionNotAllowed as error:
        message = str(error)
    else:
        message = ""
        for key, value in sent:
            closed = key in NEVER or (key in ALL_OPTIONS and key not in FREE | LOWER_ONLY | set(UP_TO) | set(may_set))
            assert value is None or not closed
    assert "\n" not in message
    assert len(message) < 400
