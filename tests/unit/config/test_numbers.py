"""Numbers that money and time depend on are numbers, or the request is refused before it costs anything."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.config.numbers import check_numbers, number_problem, seconds_of
from composite_llm.config.plan import make_plan
from composite_llm.config.profiles import Profiles
from composite_llm.model.errors import InvalidOption

NO_NUMBERS: list[Any] = ["128", "", True, [1], {"a": 1}, math.nan, math.inf, -math.inf, 10**400]
COUNTS = ["n", "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens"]
AMOUNTS = ["temperature", "top_p", "presence_penalty", "frequency_penalty"]


@pytest.mark.parametrize("place", ["top level", "extra_body", "optional_params", "node"])
@pytest.mark.parametrize("value", [0, -1, -5, 1.5, *NO_NUMBERS], ids=repr)
@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_a_whole_number_above_0_wherever_it_stands(name: str, value: Any, place: str) -> None:
    if place == "optional_params":
        # Holds options; what else is in it is a parameter too.
        given: dict[str, Any] = {"optional_params": {name: value}}
    elif place == "node":
        given = {"proposers": [{"model": "a", name: value}]}
    else:
        given = {name: value} if place == "top level" else {"extra_body": {name: value}}
    with pytest.raises(InvalidOption, match=name) as caught:
        make_plan("composite/moa/a", given, Profiles())
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("name", AMOUNTS)
def test_an_amount_is_a_finite_number(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=name):
        make_plan("composite/moa/a", {name: value}, Profiles())


@pytest.mark.parametrize(
    "given",
    [{"n": 1}, {"n": 128}, {"max_tokens": 1}, {"temperature": 0}, {"temperature": 2.0}, {"presence_penalty": -2}],
    ids=repr,
)
def test_what_providers_take_passes(given: dict[str, Any]) -> None:
    assert make_plan("composite/moa/a", given, Profiles()).params == given


def test_a_nodes_number_may_come_from_the_environment() -> None:
    make_plan("composite/moa/a", {"proposers": [{"model": "a", "max_tokens": "os.environ/LIMIT"}]}, Profiles())


@pytest.mark.parametrize("option", ["max_cost_usd", "straggler_grace_s", "stage_timeout_s", "timeout"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_option_in_dollars_or_seconds_is_finite(option: str, value: float) -> None:
    with pytest.raises(InvalidOption, match=option):
        make_plan("composite/moa/a", {option: value}, Profiles())


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "soon", [], 10**400], ids=repr)
def test_a_timeout_is_a_number_of_seconds_above_0(value: Any) -> None:
    with pytest.raises(InvalidOption, match="timeout"):
        seconds_of(value)
    assert seconds_of("2.5") == 2.5


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from([*COUNTS, *AMOUNTS, "seed", "top_logprobs"]), value=_VALUES)
def test_whatever_a_number_is_it_is_let_through_or_refused_in_one_line(name: str, value: Any) -> None:
    problem = number_problem(name, value)
    if problem is None:
        assert value is None or (isinstance(value, int | float) and math.isfinite(value))
        check_numbers({name: value, "extra_body": {name: value}})
    else:
        assert "\n" not in problem.message
        with pytest.raises(InvalidOption, match=f"extra_body.{name}"):
            check_numbers({"extra_body": {name: value}})
