"""What LiteLLM hands to a custom provider, as one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from composite_llm.backend import compat
from composite_llm.backend.reentry import current_scope, note_reentry
from composite_llm.config.numbers import seconds_of
from composite_llm.config.plan import Plan, make_plan
from composite_llm.engine.scope import Scope
from composite_llm.model.messages import checked_messages
from composite_llm.model.model_strings import with_composite_prefix
from composite_llm.model.sendable import check_sendable, check_values
from composite_llm.model.wellformed import well_formed, well_formed_value
from composite_llm.provider.reply import response_id
from composite_llm.proxy.client import proxy_client
from composite_llm.proxy.owner import owner_of
from composite_llm.proxy.request import current_request
from composite_llm.run import Caller, Run, Services

_LITELLM_DEFAULT_TIMEOUTS = (600.0, 6000.0)
"""What LiteLLM's SDK, and its Router and proxy, hand over when nobody asked for a limit."""

_READ_ON_S = 0.05

_IDENTITY_PREFIXES = ("user_api_key", "litellm_", "composite_")
_PROXY_KEYS = frozenset(
    {
        "headers",
        "endpoint",
        "model_group",
        "model_group_alias",
        "model_group_size",
        "model_info",
        "deployment",
        "deployment_model_name",
        "api_base",
        "caching_groups",
        "requester_metadata",
        "requester_ip_address",
        "global_max_parallel_requests",
        "team_callback_settings",
        "spend_logs_metadata",
        "hidden_params",
        "queue_time_seconds",
        "attempted_retries",
        "max_retries",
        "previous_models",
        "previous_attempt_id",
        "applied_guardrails",
        "internal_call_origin",
    }
)


def build_run(kwargs: Mapping[str, Any], services: Services) -> Run:
    """The checked run of one call of the handler.

    Args:
        kwargs: The keyword arguments of LiteLLM's `CustomLLM` methods.
        services: What all runs share.

    Raises:
        CompositeError: The request cannot become a run; nothing was spent.
    """
    check_values({"messages": kwargs.get("messages"), **(kwargs.get("optional_params") or {})})
    model = _logical_model(kwargs["model"])
    scope = current_scope()
    parent = scope if isinstance(scope, Scope) else None
    given = _given(kwargs)
    # What comes back through the Router has the options of the run around it, which were judged there.
    client = proxy_client(kwargs, given) if parent is None else None
    limits = client.limits(model, services.profiles) if client is not None else {}
    if client is not None:
        client.check_options(limits)
        given = client.merged()
    ancestors = parent.ancestors if parent is not None else ()
    messages = checked_messages(kwargs.get("messages"))
    check_sendable(messages, given)
    plan = make_plan(model, given, services.profiles, ancestors=ancestors)
    if client is not None:
        plan = client.within_caps(plan)
    caller = _caller(kwargs, plan, parent)
    if client is not None:
        chosen = client.chosen_models(plan, services.profiles)
        # A header can ask for more time than the body may.
        timeouts = [limit for limit in (caller.timeout_s, plan.timeout_s, limits["timeout"]) if limit is not None]
        timeout_s = min(timeouts, default=None)
        caller = replace(
            caller,
            owner=owner_of(client.request),
            permission=lambda: client.check_models(chosen),
            timeout_s=timeout_s,
            chose_models=bool(chosen),
            chose_time=client.chose_time and timeout_s != limits["timeout"],
            shared=client.shared_limits,
            operators_timeout_s=limits["timeout"],
        )
    run = Run(plan, messages, services, caller)
    note_reentry(response_id(run.id))
    return run


def _logical_model(name: str) -> str:
    model = well_formed(name)
    return with_composite_prefix(model)


def _given(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(well_formed_value(kwargs.get("optional_params") or {}))
    if isinstance(given.get("reasoning"), Mapping):
        # OpenRouter's parameter of that name, and the Responses API's; ours is a word.
        effort = given.pop("reasoning").get("effort")
        if effort is not None:
            given.setdefault("reasoning_effort", effort)
    for key in ("api_base", "api_key"):
        if kwargs.get(key):
            given[key] = kwargs[key]
    litellm_params = kwargs.get("litellm_params") or {}
    if litellm_params.get("api_version"):
        given["api_version"] = litellm_params["api_version"]
    if litellm_params.get("drop_params"):
        given["drop_params"] = True
    headers = {name: value for name, value in (kwargs.get("headers") or {}).items() if name.lower() != "user-agent"}
    if headers:
        given["extra_headers"] = headers
    user = _user(kwargs.get("logging_obj"))
    if user:
        given["user"] = user
    return given


def _user(logging_obj: Any) -> str | None:
    # LiteLLM takes `user` out of the parameters of custom providers; its own record of the call still has it.
    details = compat.CALL_DETAILS.of(logging_obj)
    user = details.get("user") if isinstance(details, Mapping) else None
    return user if isinstance(user, str) else None


def _caller(kwargs: Mapping[str, Any], plan: Plan, parent: Scope | None) -> Caller:
    litellm_params = kwargs.get("litellm_params") or {}
    metadata = litellm_params.get("metadata") or {}
    # On the proxy the client's own part is kept apart from what the proxy adds about the key.
    own = metadata.get("requester_metadata") if "user_api_key_auth" in metadata else metadata
    identity = _text_or_none(metadata.get("user_api_key_hash") or metadata.get("user_api_key"))
    return Caller(
        metadata={key: value for key, value in (own or {}).items() if _is_callers_own(key)},
        trace_id=_trace_id(litellm_params, kwargs.get("logging_obj")),
        session_id=_text_or_none(litellm_params.get("litellm_session_id")),
        identity=identity,
        owner=parent.owner if parent is not None else identity or "",
        timeout_s=_run_timeout_s(kwargs.get("timeout"), plan, parent),
        parent=parent,
        parent_span=metadata.get("litellm_parent_otel_span"),
        drain_s=_READ_ON_S if current_request() is not None else 0.0,
    )


def _trace_id(litellm_params: Mapping[str, Any], logging_obj: Any) -> str | None:
    """The caller's own, else the one that LiteLLM gave this call when it began, which its log has for the run."""
    given = _text_or_none(litellm_params.get("litellm_trace_id"))
    return given or _text_or_none(compat.TRACE_ID.of(logging_obj))


def _is_callers_own(key: Any) -> bool:
    return isinstance(key, str) and not key.startswith(_IDENTITY_PREFIXES) and key not in _PROXY_KEYS


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _run_timeout_s(timeout: Any, plan: Plan, parent: Scope | None) -> float | None:
    seconds = _seconds(timeout)
    if plan.timeout_s is not None and (seconds is None or seconds in _LITELLM_DEFAULT_TIMEOUTS):
        # LiteLLM's default is nobody's wish; the profile's limit is.
        seconds = plan.timeout_s
    left = parent.time_left() if parent is not None else None
    return min((limit for limit in (seconds, left) if limit is not None), default=None)


def _seconds(timeout: Any) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, httpx.Timeout):
        limits = [limit for limit in (timeout.read, timeout.write, timeout.connect, timeout.pool) if limit is not None]
        return max(limits, default=None)
    return seconds_of(timeout)
