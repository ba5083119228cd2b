from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.model.near_misses import edit_distance, near_miss, nearest

WORDS = st.text(alphabet="abcs_", max_size=8)


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        pytest.param("", "", 0, id="nothing"),
        pytest.param("", "abc", 3, id="insertions"),
        pytest.param("abc", "", 3, id="deletions"),
        pytest.param("quorum", "quorim", 1, id="substitution"),
        pytest.param("quorum", "quourm", 1, id="swap-of-neighbours"),
        pytest.param("proposers", "propsers", 1, id="deletion"),
        pytest.param("ca", "abc", 3, id="a-swapped-pair-is-not-edited-again"),
    ],
)
def test_edit_distance_counts_insertions_deletions_substitutions_and_swaps(
    left: str, right: str, distance: int
) -> None:
    assert edit_distance(left, right) == distance


@given(WORDS, WORDS)
def test_edit_distance_is_symmetric_and_zero_only_for_equals(left: str, right: str) -> None:
    assert edit_distance(left, right) == edit_distance(right, left)
    assert (edit_distance(left, right) == 0) == (left == right)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("propposers", "proposers", id="one-letter-more"),
        pytest.param("Proposers", "proposers", id="capital"),
        pytest.param("tool-executor", "tool_executor", id="hyphen"),
        pytest.param("max_cost", "max_cost_usd", id="unit-left-out"),
        pytest.param("stage_timeout", "stage_timeout_s", id="seconds-left-out"),
        pytest.param("layer", "layers", id="singular"),
        pytest.param("temperature", None, id="another-parameter"),
        pytest.param("n", None, id="one-letter"),
        pytest.param("top_k", None, id="provider-parameter"),
        pytest.param("caching", None, id="litellm-parameter"),
        pytest.param("timeout", None, id="resembles-nothing"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_near_miss_is_only_what_was_probably_meant(written: str, meant: str | None) -> None:
    assert near_miss(written, ALL_OPTIONS) == meant


def test_a_short_name_is_missed_by_one_letter_only() -> None:
    assert near_miss("nme", ["name"]) == "name"
    assert near_miss("nm", ["name"]) is None


def test_nothing_is_near_when_nothing_is_known() -> None:
    assert near_miss("samples", []) is None
    assert nearest("samples", []) == []


def test_nearest_names_come_nearest_first_and_equals_by_the_alphabet() -> None:
    assert nearest("fast", ["slow", "faster", "last", "fest"]) == ["fest", "last", "faster"]
