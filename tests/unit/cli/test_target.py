from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.cli.exits import Misused
from composite_llm.cli.keys import PROVIDERS
from composite_llm.cli.target import Target, parsed_options, target_of

MOA, COUNCIL = "moa", "council"


def target(
    strategy: str | None = None,
    model: str | None = None,
    proposers: list[str] | None = None,
    profile: str | None = None,
    options: list[str] | None = None,
) -> Target:
    return target_of(strategy, model, proposers, profile, options)


@pytest.mark.parametrize(
    ("given", "model", "options"),
    [
        pytest.param({"model": "a/b"}, "composite/moa/a/b", {}, id="moa-is-the-default"),
        pytest.param({"model": "a", "proposers": ["b", "c"]}, "composite/moa/a", {"proposers": ["b", "c"]}, id="moa"),
        pytest.param(
            {"model": "a", "strategy": COUNCIL, "proposers": ["b"]},
            "composite/council/a",
            {"members": ["b"]},
            id="seats",
        ),
        pytest.param({"model": "composite/council/a"}, "composite/council/a", {}, id="whole-string"),
        pytest.param(
            {"model": "composite/council/a", "proposers": ["b"], "strategy": COUNCIL},
            "composite/council/a",
            {"members": ["b"]},
            id="whole-string-with-members",
        ),
        pytest.param({"profile": "p"}, "composite/profile/p", {}, id="profile"),
        pytest.param(
            {"profile": "p", "options": ["quorum=2"]}, "composite/profile/p", {"quorum": 2}, id="profile-with-an-option"
        ),
        pytest.param(
            {"model": "a", "options": ["proposers=[b, {model: c}]"]},
            "composite/moa/a",
            {"proposers": ["b", {"model": "c"}]},
            id="nodes-as-yaml",
        ),
    ],
)
def test_the_words_name_a_model_and_options(given: dict[str, Any], model: str, options: dict[str, Any]) -> None:
    assert target(**given) == Target(model, options)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"profile": "p", "model": "a"}, "--profile says who", id="profile-and-model"),
        pytest.param({"profile": "p", "proposers": ["a"]}, "--profile says who", id="profile-and-proposer"),
        pytest.param({"profile": "p", "strategy": MOA}, "--profile says who", id="profile-and-strategy"),
        pytest.param({"model": "composite/moa/a", "strategy": COUNCIL}, "leave out --strategy council", id="two"),
        pytest.param({"model": "composite/profile/a", "proposers": ["b"]}, "leave out --proposer", id="whole"),
        pytest.param({"model": "a", "proposers": ["b"], "options": ["proposers=[c]"]}, "the same", id="two-lists"),
        pytest.param({}, "OPENAI_API_KEY", id="no-model-and-no-key"),
    ],
)
def test_words_that_contradict_each_other_are_a_mistake(given: dict[str, Any], says: str) -> None:
    with pytest.raises(Misused, match=says):
        target(**given)


def test_without_a_model_one_is_picked_whose_key_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    known = PROVIDERS["anthropic"]
    # Of one provider alone: samples of its strong model.
    assert target() == Target(f"composite/moa/{known.strong}", {}, picked=True)
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    found = target(COUNCIL)
    assert found.model == f"composite/council/{PROVIDERS['openai'].strong}"
    # Two members could not vote.
    openai = PROVIDERS["openai"]
    assert found.options == {"members": [openai.small, known.small, openai.strong, known.strong]}
    assert found.picked
    assert target().options == {"proposers": [openai.small, known.small]}
    monkeypatch.setenv("MISTRAL_API_KEY", "x")
    assert target(COUNCIL).options == {"members": [openai.small, known.small, PROVIDERS["mistral"].small]}


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        (["a=1"], {"a": 1}),
        (["a=true", "b=1.5", "c=x y"], {"a": True, "b": 1.5, "c": "x y"}),
        (["a=b=c"], {"a": "b=c"}),
        (["a="], {"a": None}),
        (["a.b=1", "a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["a=[x, {model: y}]"], {"a": ["x", {"model": "y"}]}),
    ],
)
def test_options_are_yaml_and_dots_reach_inside(pairs: list[str], found: dict[str, Any]) -> None:
    assert parsed_options(pairs) == found


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a..b=1"], ["a=[1"], ["a=1", "a=2"], ["a=1", "a.b=2"], ["a=&b [*b"]])
def test_an_option_that_cannot_be_read_is_named(pairs: list[str]) -> None:
    with pytest.raises(Misused, match="--option"):
        parsed_options(pairs)


@given(st.lists(st.text(max_size=30), max_size=4))
def test_whatever_is_given_as_options_is_read_or_refused_in_one_line(pairs: list[str]) -> None:
    with contextlib.suppress(Misused):
        found = parsed_options(pairs)
        assert len(found) <= len(pairs)
        assert all("=" in pair for pair in pairs)


def test_an_option_with_a_word_of_its_own_is_given_once() -> None:
    assert Target("m").with_options({"timeout": 3.0, "max_cost_usd": None}) == Target("m", {"timeout": 3.0})
    with pytest.raises(Misused, match="--max-cost-usd"):
        Target("m", {"max_cost_usd": 1}).with_options({"max_cost_usd": 2.0})
