"""The parser: typed errors only, with the key in them."""

import contextlib
import math
from collections import UserDict
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import Scenario, ScenarioError, parse_scenario, parse_scenarios

KEYS = st.sampled_from([*Scenario.model_fields, "status", "contains", "then", "name", "unknown"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from([10**400, "before", "stop", "\ud800", date(2026, 1, 1)])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(LEAVES, inner, max_size=2)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(VALUES | st.dictionaries(KEYS, VALUES, max_size=4))
def test_nothing_but_the_typed_error(value: Any) -> None:
    for parse in (parse_scenario, parse_scenarios):
        with contextlib.suppress(ScenarioError):
            parse(value)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"latncy_s": 1}, "unknown key 'latncy_s'"),
        ({"error": {"stat": 1}}, "unknown key 'stat' (at error.stat)"),
        ({"sequence": [{"oops": 1}]}, "sequence.0.oops"),
        ({"by_content": [{"contains": "x", "then": {"oops": 1}}]}, "by_content.0.then.oops"),
        ({"latency_s": -1}, "latency_s"),
        ({"latency_s": math.nan}, "latency_s"),
        ({"latency_s": 10**400}, ""),
        ({"latency_s": "1"}, "latency_s"),
        ({"error": {"status": 200}}, "error.status"),
        ({"error_rate": 1.5}, "error_rate"),
        ({"drop": "never"}, "drop"),
        ({"sequence": []}, "sequence"),
        ({"sequence": [{}], "text": "x"}, "text"),
        ({"text": "x", "texts": ["y"]}, "exclude"),
        ({"headers": {"a b": "x"}}, "headers"),
        ({"headers": {"a": "x\r\ny: z"}}, "headers"),
        ({"headers": {"Content-Length": "1"}}, "Content-Length"),
        ({"tool_calls": [{"name": "f", "arguments": {"day": date(2026, 1, 1)}}]}, "tool_calls.0.arguments"),
        ([], "scenario"),
    ],
)
def test_the_error_names_the_key(value: Any, named: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(value)
    assert named in str(caught.value)


def test_a_scenario_within_itself() -> None:
    loop: dict[str, Any] = {}
    loop["sequence"] = [loop]
    with pytest.raises(ScenarioError):
        parse_scenario(loop)


def test_a_scenario_nested_too_deep() -> None:
    scenario: dict[str, Any] = {}
    for _ in range(1000):
        scenario = {"sequence": [scenario]}
    with pytest.raises(ScenarioError):
        parse_scenario(scenario)


@pytest.mark.parametrize("value", [[], {"": {}}, {1: {}}, {"m": 1}])
def test_wrong_tables(value: Any) -> None:
    with pytest.raises(ScenarioError):
        parse_scenarios(value)


def test_any_mapping_will_do() -> None:
    assert parse_scenario(UserDict(text="x")).text == "x"
    assert parse_scenarios(None) == {}
