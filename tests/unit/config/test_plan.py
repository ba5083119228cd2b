from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from composite_llm.config.node import Node
from composite_llm.config.plan import Plan, make_plan, nodes_of
from composite_llm.config.profiles import Profiles, load_profiles
from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.model.errors import CompositeError, InvalidOption, UnknownProfile, UnknownStrategy
from composite_llm.strategies.council import CouncilOptions
from composite_llm.strategies.moa import MoaOptions

NONE = Profiles()


def plan(model: str = "composite/moa/openai/m", profiles: Profiles = NONE, /, **given: Any) -> Plan:
    return make_plan(model, given, profiles)


def moa(*args: Any, **given: Any) -> MoaOptions:
    options = plan(*args, **given).options
    assert isinstance(options, MoaOptions)
    return options


@pytest.mark.parametrize(
    ("model", "options", "final"),
    [
        pytest.param("composite/moa/gpt", MoaOptions, "gpt", id="plain"),
        pytest.param("composite/council/gpt", CouncilOptions, "gpt", id="council"),
        pytest.param("composite/moa/openrouter/a/b:free", MoaOptions, "openrouter/a/b:free", id="slashes-and-colon"),
        pytest.param("composite/moa/composite/council/gpt", MoaOptions, "composite/council/gpt", id="nested"),
    ],
)
def test_a_model_string_names_strategy_and_final_model(model: str, options: type, final: str) -> None:
    made = plan(model)
    assert isinstance(made.options, options)
    assert (made.logical_model, made.final, made.params, made.timeout_s) == (model, Node(model=final), {}, None)


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        pytest.param("composite/mao/gpt", UnknownStrategy, "names no strategy; nearest: 'moa'", id="misspelt"),
        pytest.param("composite/gpt-4o", UnknownStrategy, "allowed: composite/moa/<model>", id="no-strategy"),
        pytest.param("composite/", UnknownStrategy, "names no strategy", id="nothing"),
        pytest.param("composite/moa", InvalidOption, "has nothing after the strategy", id="no-model"),
        pytest.param("composite/moa/", InvalidOption, "has nothing after the strategy", id="empty-model"),
        pytest.param("composite/council// ", InvalidOption, "has nothing after the strategy", id="blank-model"),
        pytest.param("composite/profile", InvalidOption, "has nothing after the strategy", id="no-profile"),
        pytest.param("composite/profile/", InvalidOption, "has nothing after the strategy", id="empty-profile"),
        pytest.param("composite/profile/fast", UnknownProfile, "'fast' is unknown", id="unknown-profile"),
    ],
)
def test_a_model_string_that_names_nothing_is_explained(model: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        plan(model)


def nested(depth: int) -> str:
    return "composite/moa/" * depth + "m"


def test_composites_may_nest_three_deep() -> None:
    assert plan(nested(3)).final.model == nested(2)


def test_a_fourth_level_is_refused() -> None:
    with pytest.raises(InvalidOption, match="is nested too deep; allowed: 3 levels"):
        plan(nested(4))


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"proposers": [nested(3)]}, id="proposer"),
        pytest.param({"proposers": ["a", {"model": "b", "fallbacks": ["c", nested(3)]}]}, id="fallback"),
        pytest.param({"aggregator": {"fallbacks": [nested(3)]}}, id="fallback-of-the-aggregator"),
        pytest.param({"proposers": [{"model": nested(2), "proposers": [nested(2)]}]}, id="proposer-of-a-proposer"),
    ],
)
def test_depth_is_counted_through_every_node(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="nested too deep"):
        plan(**given)


def test_a_nested_composite_is_checked_at_once() -> None:
    with pytest.raises(InvalidOption, match="quorum: got 9"):
        plan(proposers=[{"model": "composite/moa/m", "quorum": 9}])


def test_a_profile_that_contains_itself_is_refused() -> None:
    profiles = load_profiles(
        {
            "a": {"strategy": "moa", "model": "m", "proposers": ["composite/profile/b"]},
            "b": {"strategy": "council", "model": "m", "members": ["x", "composite/profile/a"]},
        }
    )
    with pytest.raises(
        InvalidOption,
        match=r"'composite/profile/a' contains itself: composite/profile/a > composite/profile/b > composite/profile/a",
    ):
        plan("composite/profile/a", profiles)


def test_a_profile_may_be_used_twice_side_by_side() -> None:
    profiles = load_profiles(
        {
            "inner": {"strategy": "moa", "model": "m"},
            "outer": {"strategy": "moa", "model": "m", "proposers": ["composite/profile/inner"] * 2},
        }
    )
    assert len(moa("composite/profile/outer", profiles).proposers or ()) == 2


@pytest.mark.parametrize(
    ("given", "quorum"),
    [
        pytest.param({"quorum": 2}, 2, id="keyword"),
        pytest.param({"optional_params": {"quorum": 2}}, 2, id="optional-params"),
        pytest.param({"extra_body": {"quorum": 2}}, 2, id="extra-body"),
        pytest.param({"quorum": 3, "optional_params": {"quorum": 2}}, 3, id="keyword-before-optional-params"),
        pytest.param({"extra_body": {"quorum": 3}, "quorum": 2}, 3, id="extra-body-before-keyword"),
        pytest.param({"quorum": None, "optional_params": {"quorum": 2}}, 2, id="none-is-absent-as-keyword"),
        pytest.param({"quorum": 2, "extra_body": {"quorum": None}}, 2, id="none-is-absent-in-extra-body"),
        pytest.param({"quorum": None}, 1, id="none-is-absent"),
        pytest.param({"optional_params": {"quorum": None}}, 1, id="none-is-absent-in-optional-params"),
        pytest.param({"optional_params": None, "extra_body": None}, 1, id="no-places"),
    ],
)
def test_options_come_from_three_places(given: dict[str, Any], quorum: int) -> None:
    assert moa(**given).quorum == quorum


PROFILES = load_profiles(
    {
        "p": {
            "strategy": "moa",
            "model": "openai/m",
            "quorum": 2,
            "samples": 5,
            "temperature": 0.5,
            "top_p": 0.5,
            "timeout": 30,
        }
    }
)


def test_a_request_wins_over_its_profile_and_the_rest_stays() -> None:
    made = plan("composite/profile/p", PROFILES, quorum=1, temperature=1, timeout=5)
    assert isinstance(made.options, MoaOptions)
    assert (made.options.quorum, made.options.samples) == (1, 5)
    assert made.params == {"temperature": 1, "top_p": 0.5}
    assert made.timeout_s == 5
    assert made.logical_model == "composite/profile/p"


def test_a_profile_gives_model_parameters_and_timeout() -> None:
    made = plan("composite/profile/p", PROFILES)
    assert (made.final.model, made.params, made.timeout_s) == ("openai/m", {"temperature": 0.5, "top_p": 0.5}, 30)


def test_a_profile_without_a_final_model_is_refused_only_when_none_comes_with_the_request() -> None:
    profiles = load_profiles({"p": {"strategy": "moa", "proposers": ["a"]}})
    with pytest.raises(InvalidOption, match="aggregator: the profile names no final model; allowed: 'model' or"):
        plan("composite/profile/p", profiles)
    assert plan("composite/profile/p", profiles, aggregator="b").final.model == "b"


def test_the_final_node_takes_its_settings_and_its_model_replaces_the_string() -> None:
    made = plan(aggregator={"model": "openai/other", "system": "be brief", "temperature": 0})
    assert (made.final.model, made.final.system, made.final.params) == ("openai/other", "be brief", {"temperature": 0})
    assert plan(aggregator={"name": "chief"}).final == Node(model="openai/m", name="chief")
    assert plan("composite/council/m", chairman={"num_retries": 0}).final.num_retries == 0


def test_ours_are_taken_out_of_extra_body_and_the_rest_travels() -> None:
    made = plan(extra_body={"quorum": 2, "provider": {"order": ["x"]}})
    assert made.options.quorum == 2
    assert made.params == {"extra_body": {"provider": {"order": ["x"]}}}
    assert plan(extra_body={"quorum": 2}).params == {}


def test_unknown_keywords_are_parameters_of_the_call() -> None:
    assert plan(top_k=4, safe_prompt=True, speed=2).params == {"top_k": 4, "safe_prompt": True, "speed": 2}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"propposers": ["a"]}, r"^propposers: unknown option; did you mean 'proposers'\?", id="keyword"),
        pytest.param({"extra_body": {"max_cost": 1}}, r"^max_cost: .*'max_cost_usd'", id="in-extra-body"),
        pytest.param({"optional_params": {"qorum": 1}}, r"^qorum: .*'quorum'", id="in-optional-params"),
        pytest.param({"members": ["a"]}, "^members: is an option of council, not of moa", id="other-strategy"),
        pytest.param({"optional_params": [1]}, "^optional_params: is not a mapping", id="optional-params-as-a-list"),
        pytest.param({"quorum": 4}, "^quorum: got 4; allowed: at most the 3 proposers", id="quorum-over-samples"),
        pytest.param({"quorum": 2, "proposers": ["a"]}, "at most the 1 proposers", id="quorum-over-proposers"),
        pytest.param({"timeout": -1}, "^timeout: got -1; allowed: seconds above 0", id="negative-timeout"),
        pytest.param({"timeout": 0}, "^timeout: got 0", id="no-time"),
        pytest.param({"timeout": "soon"}, "^timeout: is not a number", id="timeout-as-a-word"),
        pytest.param({"timeout": float("nan")}, "^timeout: got nan", id="timeout-not-a-number"),
        pytest.param({"timeout": 10**400}, "^timeout: ", id="timeout-beyond-floats"),
        pytest.param({"proposers": [{"model": "a", "modle": "b"}]}, r"^proposers\.0\.modle: ", id="node-key"),
        pytest.param({"aggregator": {"num_retires": 1}}, r"^aggregator\.num_retires: ", id="aggregator-key"),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOption, match=says):
        plan(**given)


def test_the_other_way_round_an_option_of_moa_is_refused_for_a_council() -> None:
    with pytest.raises(InvalidOption, match=r"^layers: is an option of moa, not of council"):
        plan("composite/council/m", layers=2)


def test_the_quorum_of_a_council_without_members_is_at_most_its_personas() -> None:
    assert plan("composite/council/m", quorum=3).options.quorum == 3
    with pytest.raises(InvalidOption, match="at most the 3 members"):
        plan("composite/council/m", quorum=4)


def test_the_seed_is_an_option_and_a_call_parameter() -> None:
    made = plan(seed=7)
    assert made.options.seed == 7
    assert made.params == {"seed": 7}


def test_the_callers_mapping_is_not_changed() -> None:
    given = {"extra_body": {"quorum": 2, "x": 1}, "optional_params": {"layers": 2}, "proposers": [{"model": "a"}, "b"]}
    plan(**given)
    assert given == {
        "extra_body": {"quorum": 2, "x": 1},
        "optional_params": {"layers": 2},
        "proposers": [{"model": "a"}, "b"],
    }


def test_all_nodes_are_listed_fallbacks_included() -> None:
    made = plan(
        "composite/council/chair",
        members=["a", {"model": "b", "fallbacks": [{"model": "c", "fallbacks": ["d"]}]}],
        reviewers=["e"],
        chairman={"fallbacks": ["f"]},
    )
    assert [node.model for node in nodes_of(made)] == ["chair", "f", "a", "b", "c", "d", "e"]


SECRET_KEYS = ("api_key", "headers", "aws_secret_access_key", "password", "auth_token", "credentials", "Authorization")
SECRET = "sk-do-not-show-me"
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3)
NODE_KEYS = st.sampled_from(["model", "name", "system", "num_retries", "timeout", "fallbacks", "temperature", "modle"])
KEYS = NODE_KEYS | st.text(max_size=6) | st.integers() | st.none()
SECRETS = st.dictionaries(st.sampled_from(SECRET_KEYS), st.just(SECRET) | st.just([SECRET]), min_size=1, max_size=2)
JUNK = st.recursive(
    LEAVES | SECRETS | st.sampled_from(["composite/moa/m", "composite/profile/p", "openai/m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OPTION_NAMES = st.sampled_from(
    [*sorted(ALL_OPTIONS), "timeout", "optional_params", "extra_body", "propposers", "max_cost", "temperature", "n"]
)
MODELS = st.sampled_from(
    ["composite/moa/m", "composite/council/m", "composite/profile/p", "composite/", "composite/moa/", nested(4)]
) | st.text(max_size=20).map("composite/".__add__)


def planned(model: str, given: dict[str, Any], profiles: Profiles) -> Plan | CompositeError:
    try:
        return make_plan(model, given, profiles)
    except CompositeError as error:
        return error


@given(MODELS, st.dictionaries(OPTION_NAMES | st.text(max_size=8), JUNK, max_size=4))
@example("composite/moa/m", {"optional_params": {1: 2}})
@example("composite/moa/m", {"extra_body": {None: 2}})
@example("composite/moa/m", {"proposers": [[{"api_key": SECRET}]]})
@example("composite/moa/m", {"allow_unpriced": {"\n": None}})
def test_whatever_is_given_there_is_a_plan_or_one_of_our_errors_without_a_secret(
    model: str, given: dict[str, Any]
) -> None:
    outcome = planned(model, given, PROFILES)
    if isinstance(outcome, Plan):
        assert outcome.logical_model == model
    else:
        assert outcome.status_code in (400, 404)
        assert SECRET not in str(outcome)
        assert "\n" not in str(outcome)


@given(st.text())
def test_any_model_string_is_a_plan_or_one_of_our_errors(model: str) -> None:
    outcome = planned(model, {}, NONE)
    if isinstance(outcome, Plan):
        assert outcome.final.model
    else:
        assert isinstance(outcome, InvalidOption | UnknownStrategy | UnknownProfile)
