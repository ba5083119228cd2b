"""The schema for editors agrees with what is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from composite_llm.config.parameters import PROFILE_PARAMETERS
from composite_llm.config.profiles import load_profiles
from composite_llm.config.registry import STRATEGIES
from composite_llm.config.schema import config_schema
from composite_llm.model.errors import InvalidConfig

ROOT = Path(__file__).parents[3]
SCHEMA = config_schema()


def accepts(content: Any) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(content)


def loads(content: Any) -> bool:
    try:
        load_profiles(content)
    except InvalidConfig:
        return False
    return True


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_example_satisfies_it() -> None:
    text = (ROOT / "examples" / "composite.yaml").read_text(encoding="utf-8")
    jsonschema.validate(yaml.safe_load(text), SCHEMA, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_offers_every_option_and_call_parameter(strategy: str) -> None:
    (profile,) = (
        definition
        for definition in SCHEMA["$defs"].values()
        if definition.get("properties", {}).get("strategy", {}).get("const") == strategy
    )
    assert set(profile["properties"]) == {
        *STRATEGIES[strategy].model_fields, *PROFILE_PARAMETERS, "strategy", "model", "description",
    }  # fmt: skip


GOOD: dict[str, Any] = {
    "short": {"strategy": "moa", "model": "a"},
    "node": {
        "strategy": "moa",
        "model": "a",
        "proposers": ["b", {"model": "c", "temperature": 0.1, "fallbacks": ["d"]}],
    },
    "final": {"strategy": "council", "chairman": {"model": "a", "api_key": "os.environ/X"}, "ranking": "copeland"},
    "final-as-a-string": {"strategy": "council", "chairman": "a"},
    "parameters": {"strategy": "moa", "model": "a", "temperature": 0.2, "timeout": 3, "description": "words"},
}
BAD: dict[str, Any] = {
    "misspelt": {"strategy": "moa", "model": "a", "propsers": ["b"]},
    "other-strategys-option": {"strategy": "moa", "model": "a", "members": ["b"]},
    "no-strategy": {"model": "a"},
    "unknown-strategy": {"strategy": "vote", "model": "a"},
    "node-without-a-model": {"strategy": "moa", "model": "a", "proposers": [{"name": "b"}]},
    "no-nodes": {"strategy": "moa", "model": "a", "proposers": []},
    "quorum": {"strategy": "moa", "model": "a", "quorum": 0},
    "ranking": {"strategy": "council", "model": "a", "ranking": "dice"},
    "retries": {"strategy": "moa", "model": "a", "proposers": [{"model": "b", "num_retries": -1}]},
    "a-word": "moa",
}


@pytest.mark.parametrize("profile", [pytest.param(body, id=name) for name, body in GOOD.items()])
def test_what_loads_satisfies_it(profile: Any) -> None:
    content = {"profiles": {"p": profile}}
    assert (loads(content), accepts(content)) == (True, True)


@pytest.mark.parametrize("profile", [pytest.param(body, id=name) for name, body in BAD.items()])
def test_what_does_not_load_does_not(profile: Any) -> None:
    content = {"profiles": {"p": profile}}
    assert (loads(content), accepts(content)) == (False, False)


@pytest.mark.parametrize(
    ("section", "good"),
    [
        ({"telemetry": True}, True),
        ({"telemetry": "runs.db"}, True),
        ({"telemetry": {"privacy": "full", "max_age_days": 3}}, True),
        ({"telemetry": {"privacy": "some"}}, False),
        ({"telemetry": {"paht": "x"}}, False),
        ({"otel": {"spans": False}}, True),
        ({"otel": {"span": False}}, False),
        ({"colour": "red"}, False),
        ({"profiles": None}, True),
        ({}, True),
    ],
)
def test_sections_satisfy_it_where_they_load(section: dict[str, Any], good: bool) -> None:
    assert (loads({"profiles": {}, **section}), accepts(section)) == (good, good)


def test_it_holds_nothing_of_this_machine() -> None:
    assert str(Path.home()) not in str(SCHEMA)
