"""Which names of a call's parameters mean something to LiteLLM itself, and whose they are on the proxy."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import litellm

from composite_llm.config.options import ALL_OPTIONS
from composite_llm.config.parameters import CONNECTION, PROFILE_PARAMETERS

CALL_PARAMETERS: frozenset[str] = (PROFILE_PARAMETERS - CONNECTION) | {
    "stream",
    "stream_options",
    "prompt_cache_retention",
    "include_server_side_tool_invocations",
    "context_management",
    "best_of",
}
"""OpenAI's and Anthropic's parameters of a chat completion: a client's own, as for any model."""

ENVELOPE: frozenset[str] = frozenset(
    {
        "model",
        "messages",
        "input",
        "prompt",
        "metadata",
        "litellm_metadata",
        "tags",
        "guardrails",
        "model_info",
        "proxy_server_request",
        "secret_fields",
        "litellm_call_id",
        "litellm_logging_obj",
        "litellm_trace_id",
        "litellm_session_id",
        "shared_session",
        "cache",
        "caching",
        "timeout",
        "stream_timeout",
        "request_timeout",
        "max_retries",
        "drop_params",
        "allowed_openai_params",
        "additional_drop_params",
        "prompt_id",
        "prompt_variables",
        "prompt_version",
        "prompt_label",
        "prompt_environment",
        "reasoning",
    }
)
"""What the proxy and its Router put around every call, or LiteLLM uses up before a provider sees it."""

_UNLISTED = frozenset(
    {
        # Read from the keywords by LiteLLM's Router and `acompletion`, and named in none of its lists.
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "disable_fallbacks",
        "enable_weighted_failover",
        "max_fallbacks",
        "mock_delay",
        "mock_response",
        "mock_testing_content_policy_fallbacks",
        "mock_testing_context_fallbacks",
        "mock_testing_fallbacks",
        "mock_testing_rate_limit_error",
        "mock_timeout",
        "mock_tool_calls",
        "model_group",
        "model_group_retry_policy",
        "models",
        "original_function",
        "original_generic_function",
        "passthrough_endpoint",
        "priority",
        "request_kwargs",
        "router_settings_override",
        "specific_deployment",
        "user_config",
    }
)

_SIGNATURES = ("completion", "acompletion", "Router")
_LISTS = (("litellm.types.utils", "all_litellm_params"), ("litellm.constants", "OPENAI_CHAT_COMPLETION_PARAMS"))
_MODELS = ("LiteLLM_Params", "GenericLiteLLMParams", "CredentialLiteLLMParams")


@lru_cache(maxsize=1)
def litellms_own() -> frozenset[str]:
    """Names that LiteLLM gives a meaning of its own, but for those that are a client's; of the installed version."""
    found = set(_UNLISTED)
    for name in _SIGNATURES:
        function = getattr(litellm, name, None)
        if callable(function):
            found |= set(inspect.signature(function).parameters)
    for module, name in _LISTS:
        found |= set(_imported(module, name, ()))
    for name in _MODELS:
        found |= set(getattr(_imported("litellm.types.router", name, None), "model_fields", ()))
    return frozenset(found) - CALL_PARAMETERS - ALL_OPTIONS


def is_litellms_own(name: str) -> bool:
    """Whether LiteLLM would read a parameter of this name as its own; names that begin with `_` are internal."""
    return name.startswith("_") or name in litellms_own()


def _imported(module: str, name: str, default: Iterable[str] | None) -> Any:
    try:
        return getattr(importlib.import_module(module), name, default)
    except ImportError:
        return default
