"""Which names of a call's parameters mean something to LiteLLM itself, and whose they are on the proxy."""

from __future__ import annotations

import inspect
from functools import lru_cache

import litellm

from composite_llm.backend import compat
from composite_llm.config.parameters import CONNECTION, PROFILE_PARAMETERS
from composite_llm.config.registry import ALL_OPTIONS

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

_UNLISTED = frozenset(  # one name a line would be three screens
    [
        "acancel_responses",
        "acompact_responses",
        "acreate_batch",
        "acreate_fine_tuning_job",
        "adelete_responses",
        "agent",
        "aget_responses",
        "alist_input_items",
        "amoderation",
        "applied_guardrails",
        "arerank",
        "aresponses",
        "aspeech",
        "async_complete_streaming_response",
        "atranscription",
        "attempted_fallbacks",
        "attempted_retries",
        "batch_completion_cost",
        "batch_cost",
        "batch_failed_requests",
        "batch_ignore_default_logging",
        "batch_models",
        "batch_prompt_cost",
        "batch_successful_requests",
        "batch_usage",
        "cache_hit",
        "call_type",
        "callback_settings",
        "callbacks",
        "client_disconnected",
        "cold_storage_object_key",
        "combined_usage_object",
        "compaction",
        "complete_streaming_response",
        "completion_start_time",
        "config",
        "container_id",
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "deployment",
        "disable_fallbacks",
        "disable_global_guardrails",
        "embedding",
        "enable_weighted_failover",
        "enforced_params",
        "engine",
        "error_information",
        "exception",
        "failure_callback",
        "fallback_model_group",
        "file",
        "file_checksum",
        "file_name",
        "first_message",
        "functions_unsupported_model",
        "gcp_service_account",
        "gcp_ssl_ca_certs",
        "gigachat_scope",
        "guardrail_config",
        "hidden_params",
        "include_fallback_errors",
        "include_guardrail_response",
        "initial_prompt_value",
        "is_async",
        "langfuse_masking_function",
        "litellm_params",
        "litellm_parent_otel_span",
        "litellm_router",
        "max_fallbacks",
        "mcp_tool_call_metadata",
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
        "model_group_size",
        "models",
        "opted_out_global_guardrails",
        "original_function",
        "original_generic_function",
        "original_model_group",
        "parent_otel_span",
        "passthrough",
        "passthrough_endpoint",
        "passthrough_on_no_deployment",
        "policies",
        "previous_models",
        "priority",
        "prompt_integration",
        "purpose",
        "raw_request",
        "redis_namespace",
        "request_kwargs",
        "request_retry_count",
        "requester_ip_address",
        "requester_metadata",
        "response_cost",
        "response_cost_failure_debug_information",
        "response_id",
        "router_settings_override",
        "routing_decision",
        "routing_plugin_signals",
        "selected_guardrail",
        "semantic-similarity",
        "session",
        "session_id",
        "specific_deployment",
        "spend_logs_metadata",
        "standard_callback_dynamic_params",
        "standard_logging_guardrail_information",
        "standard_logging_object",
        "success_callback",
        "supported_regions",
        "trace_id",
        "user_agent",
        "user_api_key_auth",
        "user_api_key_budget_reservation",
        "user_api_key_dict",
        "user_api_key_end_user_id",
        "user_api_key_hash",
        "user_api_key_team_alias",
        "user_config",
        "user_id",
        "vector_store_request_metadata",
        "zero_cost_diagnostic",
    ]
)
"""Read from the keywords by LiteLLM's Router, logging and calls, and named in none of its lists."""

_SIGNATURES = ("completion", "acompletion", "Router")


@lru_cache(maxsize=1)
def litellms_own() -> frozenset[str]:
    """Names that LiteLLM gives a meaning of its own, but for those that are a client's; of the installed version."""
    names = set(_UNLISTED)
    for name in _SIGNATURES:
        function = getattr(litellm, name, None)
        if callable(function):
            names |= set(inspect.signature(function).parameters)
    for listed in (compat.CALL_NAMES, compat.OPENAI_NAMES):
        names |= set(listed.get() or ())
    for deployment in compat.DEPLOYMENT_NAMES:
        names |= set(getattr(deployment.get(), "model_fields", ()))
    return frozenset(names) - CALL_PARAMETERS - ALL_OPTIONS


def is_litellms_own(name: str) -> bool:
    """Whether LiteLLM would read a parameter of this name as its own; names that begin with `_` are internal."""
    if name.startswith("_") or name in litellms_own():
        return True
    return _lists_are_missing() and name not in CALL_PARAMETERS and name not in ALL_OPTIONS


@lru_cache(maxsize=1)
def _lists_are_missing() -> bool:
    """Whether there is no telling which names LiteLLM reads."""
    return any(names.is_missing() for names in (compat.CALL_NAMES, compat.OPENAI_NAMES, *compat.DEPLOYMENT_NAMES))
