from __future__ import annotations

from typing import Any

import pytest

from composite_llm.config.parameters import for_every_call, present


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param({"tools": [], "stop": [], "functions": []}, {}, id="empty-lists"),
        pytest.param({"api_base": None, "user": None}, {}, id="none"),
        pytest.param({"api_base": "", "api_key": ""}, {}, id="empty-strings"),
        pytest.param({"extra_headers": {}, "headers": {}, "extra_body": {}}, {}, id="empty-mappings"),
        pytest.param({"stream": True, "stream_options": {}, "max_retries": 3}, {}, id="the-provider's-own"),
        pytest.param({"is_litellm": True, "stream_usage": True}, {}, id="left-over-by-frameworks"),
        pytest.param({"temperature": 0, "n": 0, "logprobs": False}, None, id="zero-is-a-value"),
        pytest.param({"user": "", "custom": []}, None, id="empty-where-it-may-mean-something"),
        pytest.param({"stop": ["x"], "tools": [{}]}, None, id="filled-lists"),
    ],
)
def test_a_parameter_that_says_nothing_is_absent(given: dict[str, Any], kept: dict[str, Any] | None) -> None:
    assert present(given) == (given if kept is None else kept)


def test_every_call_inherits_sampling_and_user_and_nothing_of_the_final_call() -> None:
    every = {"temperature": 0.5, "top_p": 1, "seed": 4, "reasoning_effort": "low", "thinking": {}, "user": "u"}
    every |= {"presence_penalty": 0.1, "frequency_penalty": 0.2}
    final = {"tools": [{}], "response_format": {}, "n": 2, "max_tokens": 9, "stop": ["x"], "prediction": {}, "x": 1}
    assert for_every_call({**every, **final, "api_key": "k", "api_base": "b"}) == every
