from __future__ import annotations

from typing import Any

import pytest
import yaml

from composite_llm.config.node import NODE_KEYS
from composite_llm.config.profiles import load_profiles
from composite_llm.config.registry import STRATEGIES
from composite_llm.config.resolved import resolved_profile, without_secrets

SECRET = "sk-live-1234567890"


def resolved(body: dict[str, Any]) -> dict[str, Any]:
    return resolved_profile(load_profiles({"profiles": {"p": body}}).find("p"))


def test_every_option_is_there_with_its_value_or_its_default() -> None:
    found = resolved({"strategy": "moa", "model": "a", "samples": 5, "temperature": 0.5})
    assert set(found) == {"strategy", "model", *STRATEGIES["moa"].model_fields, "temperature"}
    assert (found["samples"], found["layers"], found["temperature"], found["model"]) == (5, 1, 0.5, "a")


def test_nodes_are_written_out_with_their_defaults_and_their_own_parameters() -> None:
    node = {"model": "b", "temperature": 0.1, "fallbacks": ["c"]}
    (found,) = resolved({"strategy": "moa", "model": "a", "proposers": [node]})["proposers"]
    assert set(found) == {*NODE_KEYS, "temperature"}
    assert (found["model"], found["num_retries"], found["temperature"]) == ("b", 2, 0.1)
    assert found["fallbacks"][0]["model"] == "c"


def test_the_final_model_is_named_wherever_it_came_from() -> None:
    assert resolved({"strategy": "council", "chairman": {"model": "b"}})["model"] == "b"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"api_key": SECRET}, id="of-the-profile"),
        pytest.param({"headers": {"X-Anything": "not-a-key-by-its-look"}}, id="header"),
        pytest.param({"proposers": [{"model": "b", "api_key": SECRET}]}, id="of-a-node"),
        pytest.param({"proposers": [{"model": "b", "extra_headers": {"X-Team": "not-a-key-by-its-look"}}]}, id="nodes"),
        pytest.param({"proposers": [{"model": "b", "fallbacks": [{"model": "c", "api_key": SECRET}]}]}, id="fallback"),
        pytest.param({"aggregator": {"aws_secret_access_key": "abcdef", "aws_session_token": "ghijkl"}}, id="cloud"),
        pytest.param({"proposers": [{"model": "composite/moa/c", "proposers": [{"api_key": SECRET}]}]}, id="nested"),
        pytest.param({"proposers": [{"model": "b", "extra_body": {"auth": {"token": "abcdef"}}}]}, id="deep"),
        pytest.param({"api_base": "https://user:abcdef@host/v1"}, id="in-an-address"),
    ],
)
def test_no_secret_is_shown_however_deep_it_lies(body: dict[str, Any]) -> None:
    text = yaml.safe_dump(resolved({"strategy": "moa", "model": "a", **body}))
    for secret in (SECRET, "not-a-key-by-its-look", "abcdef", "ghijkl"):
        assert secret not in text
    assert "***" in text


def test_what_only_looks_like_a_secret_is_shown() -> None:
    body = {"max_tokens": 100, "api_key": "os.environ/OPENAI_API_KEY", "headers": {"X": "os.environ/TEAM"}}
    assert without_secrets(body) == body
