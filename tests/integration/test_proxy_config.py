"""Mistakes in a proxy's configuration are told by its file, line, deployment and key before a client meets them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.proxy.config.check import Checked, checked_proxy_file
from tests.support.proxies import EXAMPLES

DIRECT = {"api_base": "http://127.0.0.1:9/v1", "api_key": "os.environ/UPSTREAM_KEY"}
SOUND: dict[str, Any] = {
    "model_list": [
        {"model_name": "small", "litellm_params": {"model": "openai/gpt-4o-mini", **DIRECT}},
        {"model_name": "large", "litellm_params": {"model": "openai/gpt-4o", **DIRECT}},
        {
            "model_name": "team",
            "litellm_params": {
                "model": "composite/moa/large",
                "proposers": ["small", {"model": "large", "temperature": 0.5, "fallbacks": ["small"]}],
                "aggregator": {"max_tokens": 900},
                "max_cost_usd": 1.0,
                "timeout": 30,
                "rpm": 100,
                "top_k": 40,
            },
            "model_info": {"composite": {"client_may_set": ["proposers", "timeout"]}, "mode": "chat"},
        },
        {
            "model_name": "council",
            "litellm_params": {"model": "composite/council/team", "members": ["small", "openai/gpt-4.1"], "quorum": 2},
        },
        {"model_name": "composite/*", "litellm_params": {"model": "composite/*", "max_calls": 20}},
    ],
    "router_settings": {"num_retries": 0, "model_group_alias": {"tiny": "small"}},
    "litellm_settings": {"custom_provider_map": [{"provider": "composite", "custom_handler": "composite_llm.handler"}]},
}
TEAM, COUNCIL, WILDCARD = 2, 3, 4
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPSTREAM_KEY", "sk-upstream")
    monkeypatch.delenv("COMPOSITE_LLM_CONFIG", raising=False)
    monkeypatch.delenv("COMPOSITE_LLM_TELEMETRY", raising=False)


def checked(config: Any, name: str = "proxy.yaml") -> Checked:
    path = Path(name)
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return checked_proxy_file(path)


def messages(config: Any) -> list[str]:
    return [problem.message for problem in checked(config).problems]


def params(index: int, **changed: Any) -> Change:
    return lambda config: config["model_list"][index]["litellm_params"].update(changed)


def info(index: int, composite: Any) -> Change:
    return lambda config: config["model_list"][index].setdefault("model_info", {}).update(composite=composite)


def section(name: str, **changed: Any) -> Change:
    return lambda config: config.setdefault(name, {}).update(changed)


MISTAKES: dict[str, tuple[Change, str, str | None]] = {
    # What is changed, what is said of it, and what the line that is named holds.
    "misspelt option": (params(TEAM, propsers=["small"]), r"team: propsers: .*did you mean 'proposers'", "propsers"),
    "option without its unit": (params(TEAM, max_cost=1), r"team: max_cost: .*'max_cost_usd'", "max_cost:"),
    "unknown option": (params(TEAM, rounds=3), r"team: rounds: unknown option; allowed: .*extra_body", "rounds"),
    "misspelt parameter": (params(TEAM, temprature=1), r"team: temprature: .*'temperature'", "temprature"),
    "option of another strategy": (params(TEAM, criteria="x"), "team: criteria: .*of council, not of moa", "criteria"),
    "option that is not a number": (params(TEAM, layers="many"), "team: layers: got 'many'", "layers"),
    "option in optional_params": (params(TEAM, optional_params={"layers": 0}), "team: layers: got 0", "layers"),
    "misspelt in extra_body": (params(TEAM, extra_body={"propsers": []}), "team: propsers: .*'proposers'", "propsers"),
    "misspelt on a wildcard": (params(WILDCARD, max_call=2), r"composite/\*: max_call: .*'max_calls'", "max_call:"),
    "misspelt node key": (params(TEAM, proposers=[{"model": "small", "num_retires": 1}]), "proposers.0.num_retires", "num_retires"),
    "misspelt node parameter": (
        params(TEAM, proposers=[{"model": "small", "temprature": 1}]),
        r"team: proposers.0.temprature: .*'temperature'",
        "small",
    ),
    "unknown strategy": (params(TEAM, model="composite/moaa/large"), "team: model: .*'moa', 'council'", "moaa"),
    "no model": (params(TEAM, model="composite/moa/"), "team: model: .*nothing after the strategy", "composite/moa/"),
    "unknown profile": (params(COUNCIL, model="composite/profile/house", members=None, quorum=None),
                        "council: model: .*needs profiles.*COMPOSITE_LLM_CONFIG", "profile/house"),
    "unknown member": (params(TEAM, proposers=["smal"]), "team: proposers.0: 'smal' is not a model .*: small", "smal"),
    "unknown final model": (params(TEAM, model="composite/moa/lerge"), "team: model: 'lerge' .*: large", "lerge"),
    "unknown aggregator": (params(TEAM, aggregator="lerge"), "team: aggregator: 'lerge' .*: large", "lerge"),
    "unknown fallback": (
        params(TEAM, proposers=[{"model": "small", "fallbacks": ["smal"]}]),
        "team: proposers.0.fallbacks.0: 'smal'",
        "smal",
    ),
    "unknown provider": (params(TEAM, proposers=["opnai/gpt-4o"]), "team: proposers.0: 'opnai/gpt-4o'", "opnai"),
    "unknown in a nested one": (
        params(TEAM, proposers=[{"model": "composite/moa/large", "proposers": ["smal"]}]),
        "team: proposers.0.proposers.0: 'smal'",
        "smal",
    ),
    "unknown final of a nested one": (
        params(TEAM, proposers=["composite/moa/lerge"]), "team: proposers.0: 'lerge'", "lerge"
    ),
    "missing variable of a node": (
        params(TEAM, proposers=[{"model": "small", "api_key": "os.environ/NOT_THERE"}]),
        "team: proposers.0.api_key: .*'NOT_THERE'",
        "NOT_THERE",
    ),
    "missing variable of its own": (params(TEAM, api_key="os.environ/NOT_THERE"), "team: api_key: .*'NOT_THERE'", "NOT_"),
    "missing variable of a member": (params(0, api_key="os.environ/NOT_THERE"), "small: api_key: .*'NOT_THERE'", "NOT_"),
    "cycle": (params(TEAM, proposers=["council"]), "team: proposers.0: a cycle: team > council > team", "council"),
    "cycle with itself": (params(TEAM, model="composite/moa/team"), "team: model: a cycle: team > team", "moa/team"),
    "cycle through an alias": (
        lambda config: (
            params(TEAM, proposers=["other"])(config),
            config["router_settings"]["model_group_alias"].update(other="council"),
        ),
        "team: proposers.0: a cycle: team > council > team",
        "other",
    ),
    "too deep": (
        lambda config: config["model_list"].extend(
            {"model_name": name, "litellm_params": {"model": f"composite/moa/{of}", "proposers": ["small"]}}
            for name, of in (("third", "council"), ("fourth", "third"))
        ),
        "fourth: model: composites nest too deep: fourth > third > council > team; allowed: 3 levels",
        "moa/third",
    ),
    "quorum": (params(COUNCIL, quorum=3), "council: quorum: got 3; allowed: at most the 2 members", "quorum"),
    "router retries": (section("router_settings", num_retries=2), "router_settings.num_retries: got 2", "num_retries"),
    "litellm retries": (section("litellm_settings", num_retries=1), "litellm_settings.num_retries: got 1", "num_retries"),
    "retries as text": (section("router_settings", num_retries="3"), "router_settings.num_retries: got 3", "num_retries"),
    "retries of its own": (params(TEAM, num_retries=2), "team: num_retries: got 2", "num_retries"),
    "retry policy": (
        section("router_settings", retry_policy={"TimeoutErrorRetries": 2}),
        "router_settings.retry_policy.TimeoutErrorRetries: got 2",
        "TimeoutErrorRetries",
    ),
    "client may set an unknown name": (
        info(TEAM, {"client_may_set": ["propsers"]}), "team: .*client_may_set.0: 'propsers' .*: proposers", "propsers"
    ),
    "client may set another strategy's": (
        info(TEAM, {"client_may_set": ["criteria"]}), "team: .*client_may_set.0: 'criteria' .*not an option of this", "crit"
    ),
    "client may never set it": (
        info(TEAM, {"client_may_set": ["proposers", "api_base"]}), "client_may_set.1: 'api_base' is never", "api_base"
    ),
    "client may set what is not a list": (info(TEAM, {"client_may_set": 3}), "client_may_set: is not a list", "client_may"),
    "policy that is not a mapping": (info(TEAM, ["proposers"]), "team: model_info.composite: is not a mapping", "composite"),
    "policy with another key": (info(TEAM, {"may_set": ["seed"]}), "team: model_info.composite.may_set: unknown", "may_set"),
    "no provider map": (
        lambda config: config.pop("litellm_settings"), "litellm_settings.custom_provider_map: is missing", None
    ),
    "provider map without ours": (
        section("litellm_settings", custom_provider_map=[{"provider": "other", "custom_handler": "a.b"}]),
        "custom_provider_map: has no provider 'composite'",
        "custom_provider_map",
    ),
    "wrong handler": (
        section("litellm_settings", custom_provider_map=[
            {"provider": "composite", "custom_handler": "composite_llm.provider.handler"}]),
        "custom_provider_map.0.custom_handler: got .*; allowed: composite_llm.handler",
        "custom_handler",
    ),
    "profile file missing": (
        section("environment_variables", COMPOSITE_LLM_CONFIG="gone.yaml"),
        "COMPOSITE_LLM_CONFIG: there is no file gone.yaml",
        "gone.yaml",
    ),
    "cap without a price": (
        params(TEAM, proposers=["openai/nobody-knows"]), "team: max_cost_usd: the price of openai/nobody-knows", "max_cost"
    ),
    "budget without telemetry": (
        params(TEAM, max_cost_usd_per_day=3), "team: max_cost_usd_per_day: needs telemetry", "per_day"
    ),
    "probes": (
        lambda config: (
            config.update(general_settings={"background_health_checks": True}),
            [config["model_list"][index].setdefault("model_info", {}).update(disable_background_health_check=True)
             for index in (COUNCIL, WILDCARD)],
        ),
        "team: model_info.disable_background_health_check: is not set",
        "model_info",
    ),
    "price that is none": (
        params(TEAM, proposers=[{"model": "small", "input_cost_per_token": -1}]), "input_cost_per_token", None
    ),
}  # fmt: skip


def test_a_sound_file_has_no_mistakes() -> None:
    assert messages(SOUND) == []
    assert checked(SOUND).notes == ()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_one_line_with_its_file_line_deployment_and_key(mistake: str) -> None:
    change, said, held = MISTAKES[mistake]
    config = copy.deepcopy(SOUND)
    change(config)
    found = checked(config)
    assert len(found.problems) == 1, [problem.message for problem in found.problems]
    (problem,) = found.problems
    assert re.search(said, problem.message), problem.message
    assert "\n" not in problem.message
    assert problem.source == "proxy.yaml"
    if held is not None:
        assert problem.place is not None
        line = Path("proxy.yaml").read_text(encoding="utf-8").splitlines()[problem.place.line - 1]
        assert held in line, (line, problem)


def test_all_mistakes_of_a_file_are_told_at_once_in_its_order() -> None:
    config = copy.deepcopy(SOUND)
    for name in ("misspelt option", "unknown member", "quorum", "router retries", "client may set what is not a list"):
        MISTAKES[name][0](config)
    found = checked(config).problems
    assert len(found) == 5
    lines = [problem.place.line for problem in found if problem.place is not None]
    assert lines == sorted(lines)
    assert {problem.deployment for problem in found} == {"team", "council", None}


def test_variables_of_the_file_itself_are_set() -> None:
    config = copy.deepcopy(SOUND)
    params(TEAM, api_key="os.environ/FROM_THE_FILE", max_calls="os.environ/CALLS")(config)
    section("environment_variables", FROM_THE_FILE="sk-1", CALLS="12")(config)
    assert messages(config) == []


def test_options_are_read_from_the_environment_as_the_proxy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    config = copy.deepcopy(SOUND)
    params(TEAM, max_calls="os.environ/CALLS")(config)
    monkeypatch.setenv("CALLS", "many")
    assert [message for message in messages(config) if "max_calls: got 'many'" in message]


def test_deployments_that_no_composite_asks_are_left_alone() -> None:
    config = copy.deepcopy(SOUND)
    config["model_list"].append({"model_name": "other", "litellm_params": {"model": "x/y", "api_key": "os.environ/NO"}})
    assert messages(config) == []


def test_a_file_without_composites_is_nobodys_business_here() -> None:
    config = {"model_list": SOUND["model_list"][:2], "router_settings": {"num_retries": 3}}
    assert messages(config) == []


def test_names_of_the_database_may_be_anything() -> None:
    config = copy.deepcopy(SOUND)
    params(TEAM, proposers=["in-the-database"], max_cost_usd=None)(config)
    config["general_settings"] = {"store_model_in_db": True}
    assert messages(config) == []


def test_a_wildcard_of_the_proxy_answers_for_what_it_matches() -> None:
    config = copy.deepcopy(SOUND)
    config["model_list"].append({"model_name": "house/*", "litellm_params": {"model": "openai/*", **DIRECT}})
    params(TEAM, proposers=["house/any"], max_cost_usd=None)(config)
    assert messages(config) == []


def test_retries_that_are_not_set_are_told_beside_the_mistakes() -> None:
    config = copy.deepcopy(SOUND)
    del config["router_settings"]["num_retries"]
    found = checked(config)
    assert found.problems == ()
    assert [note.message for note in found.notes] == [
        "router_settings.num_retries: is not set, so LiteLLM retries twice; each would repeat a whole deliberation, "
        "which retries its nodes itself; allowed: 0"
    ]


def test_profiles_are_checked_with_their_own_file_and_lines() -> None:
    Path("composite.yaml").write_text(
        "profiles:\n  house:\n    strategy: moa\n    model: large\n    proposers:\n      - small\n      - smal\n",
        encoding="utf-8",
    )
    config = copy.deepcopy(SOUND)
    params(TEAM, model="composite/profile/house", proposers=None, aggregator=None, max_cost_usd=None)(config)
    (problem,) = checked(config).problems
    assert problem.source == "composite.yaml"
    assert problem.place is not None
    assert problem.place.line == 7
    assert problem.message.startswith("profile house: proposers.1: 'smal' is not a model of this proxy")


@pytest.mark.parametrize("broken", ["profiles: [", "profiles:\n  house: {strategy: moa, model: large, layrs: 2}\n"])
def test_mistakes_in_the_profiles_are_told_too(broken: str) -> None:
    Path("composite.yaml").write_text(broken, encoding="utf-8")
    found = checked(SOUND).problems
    assert [problem.source for problem in found] == ["composite.yaml"]


def test_an_unknown_profile_has_the_nearest_names() -> None:
    Path("composite.yaml").write_text(
        "profiles: {house: {strategy: moa, model: large, proposers: [small]}}\n", encoding="utf-8"
    )
    config = copy.deepcopy(SOUND)
    params(TEAM, model="composite/profile/hause", proposers=None, aggregator=None)(config)
    assert messages(config) == ["team: model: profile 'hause' is unknown; nearest: 'house'"]


def test_included_files_are_read_with_their_own_lines() -> None:
    included = {"model_list": [copy.deepcopy(SOUND["model_list"][TEAM])], "include": ["third.yaml"]}
    params(0, proposers=["smal"])(included)
    Path("second.yaml").write_text(yaml.safe_dump(included, sort_keys=False), encoding="utf-8")
    Path("third.yaml").write_text(yaml.safe_dump({"model_list": [SOUND["model_list"][COUNCIL]]}), encoding="utf-8")
    first = {**copy.deepcopy(SOUND), "include": ["second.yaml"]}
    first["model_list"] = first["model_list"][:2]
    (problem,) = checked(first).problems
    assert problem.source == "second.yaml"
    assert problem.deployment == "team"


def test_an_included_file_that_is_not_there_is_told_where_it_is_named() -> None:
    (problem,) = checked({**SOUND, "include": ["gone.yaml"]}).problems
    assert problem.message == "include.0: gone.yaml: No such file or directory"
    assert problem.place is not None


@pytest.mark.parametrize(
    "text", ["model_list: [", "- a list\n", "model_list:\n\t- x\n", "model_list: 3\n", "model_list: [3]\n"]
)
def test_a_file_that_holds_no_models_is_one_mistake(text: str) -> None:
    assert len(checked(text).problems) == 1


def test_a_key_that_is_there_twice_is_told() -> None:
    text = yaml.safe_dump(SOUND, sort_keys=False) + "router_settings: {}\n"
    assert messages(text) == ["key 'router_settings' is given twice"]


def test_the_examples_are_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROXY_MASTER_KEY", "UPSTREAM_BASE", "UPSTREAM_KEY"):
        monkeypatch.setenv(name, "set")
    for path in (EXAMPLES / "config.yaml", EXAMPLES / "replicas.yaml"):
        assert checked_proxy_file(path).problems == ()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["small", "team", "composite/moa/x", "os.environ/X"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["model", "proposers", "members", "fallbacks", "model_name", "litellm_params", "composite",
                         "client_may_set", "aggregator", "optional_params", "num_retries", "include", "model_list"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(list(SOUND)), _VALUES, st.lists(_VALUES, max_size=2))
def test_whatever_stands_in_a_file_the_check_tells_and_does_not_fail(key: str, value: Any, entries: list[Any]) -> None:
    config = copy.deepcopy(SOUND)
    config["model_list"] += [
        {"model_name": "odd", "litellm_params": {"model": "composite/moa/large", "proposers": value}},
        *entries,
    ]
    if key != "model_list":
        config[key] = value
    for problem in checked(config, "any.yaml").problems:
        assert "\n" not in problem.message
