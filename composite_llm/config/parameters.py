"""Which request parameters reach which call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SAMPLING: frozenset[str] = frozenset(
    {
        "temperature",
        "top_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "reasoning_effort",
        "thinking",
    }
)
"""Reach every call, a node's own value first; left out where a node that merely inherits them does not take them."""

EVERY_CALL: frozenset[str] = SAMPLING | {"user"}

FINAL_ONLY: frozenset[str] = frozenset(
    {
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "response_format",
        "n",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "modalities",
        "audio",
        "prediction",
        "verbosity",
        "web_search_options",
        "service_tier",
        "store",
        "safety_identifier",
        "prompt_cache_key",
        "drop_params",
    }
)
"""The parameters known to be of the final call alone; an unknown keyword goes there as well."""

CONNECTION: frozenset[str] = frozenset({"api_base", "api_key", "api_version", "headers", "extra_headers"})
"""Of the final call and of nodes of its provider that name none of their own."""

PROFILE_PARAMETERS: frozenset[str] = EVERY_CALL | FINAL_ONLY | CONNECTION | {"timeout"}
"""What a profile may set beside the options."""

_OURS_ALONE = frozenset({"stream", "stream_options", "max_retries", "mock_response"})
"""Handled by the provider itself or by LiteLLM before it."""

_FRAMEWORK_KEYS = frozenset({"is_litellm", "stream_usage"})
"""Left over by CrewAI and LangChain; no model takes them."""

_EMPTY_MEANS_ABSENT: tuple[Any, ...] = ([], "", {})


def present(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that say something: frameworks send `tools: []`, `stop: []` or `api_base: None` for "none"."""
    return {
        key: value
        for key, value in params.items()
        if value is not None
        and key not in _OURS_ALONE
        and key not in _FRAMEWORK_KEYS
        and not (key in _MAY_BE_EMPTY and value in _EMPTY_MEANS_ABSENT)
    }


_MAY_BE_EMPTY = frozenset(
    {"tools", "functions", "stop", "extra_body", "extra_headers", "headers", "api_base", "api_key"}
)


def for_every_call(params: Mapping[str, Any]) -> dict[str, Any]:
    """The part that proposers, members and reviewers inherit."""
    return {key: value for key, value in params.items() if key in EVERY_CALL}
