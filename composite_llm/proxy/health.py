"""LiteLLM's own health checks: the only calls of a proxy that answer nobody's request."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from composite_llm.backend import compat
from composite_llm.backend.litellm_router import default_params, deployment_rows, proxy_router
from composite_llm.proxy.deployment import OwnDeployment, deployment_from
from composite_llm.proxy.request import ProxyRequest, begin_request, current_request

_ADDED = frozenset({"messages", "max_tokens", "reasoning_effort", "cache", "metadata", "litellm_metadata", "tags"})
"""What LiteLLM puts into a deployment's parameters to check it."""


def recognise_health_checks() -> None:
    """Let `litellm.ahealth_check` say which deployment it checks.

    LiteLLM's proxy calls it with a deployment's own parameters, outside of any request. It is wrapped, because a mark in
    the call's parameters could be anybody's. Where a LiteLLM has no such function, health checks of composites fail.
    """
    original: Any = compat.HEALTH_CHECK.get()
    if original is None or hasattr(original, "checks_composites"):
        return

    @functools.wraps(original)
    async def ahealth_check(model_params: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if current_request() is None and (checked := checked_deployment(model_params)) is not None:
            begin_request(ProxyRequest(call_type="health_check", health_of=checked))
        return await original(model_params, *args, **kwargs)

    ahealth_check.checks_composites = True  # type: ignore[attr-defined]
    compat.HEALTH_CHECK.put(ahealth_check)


def checked_deployment(model_params: Mapping[str, Any]) -> OwnDeployment | None:
    """The deployment of the proxy that has exactly these parameters; None if none has."""
    router = proxy_router()
    for row in deployment_rows(router) if router is not None else ():
        written = _as_checked(row)
        if all(model_params.get(key) == value for key, value in written.items() if key not in _ADDED):
            return deployment_from({**row, "litellm_params": written}, default_params(router))
    return None


def _as_checked(row: Mapping[str, Any]) -> dict[str, Any]:
    """A deployment's parameters with what its `model_info` changes of them for a health check."""
    params = {key: value for key, value in (row.get("litellm_params") or {}).items() if value is not None}
    info = row.get("model_info") or {}
    further = info.get("health_check_params")
    params.update(further if isinstance(further, Mapping) else {})
    if info.get("health_check_model") is not None:
        params["model"] = info["health_check_model"]
    return params
