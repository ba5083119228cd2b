"""Whose request a call is: LiteLLM's record of the key, which a client's words must not replace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from composite_llm.proxy.request import ProxyRequest

_HOLDERS = ("metadata", "litellm_metadata")
_RECORD = ("user_api_key", "litellm_parent_otel_span", "litellm_api_version", "requester_", "endpoint")


def with_identity(call: dict[str, Any], request: ProxyRequest) -> dict[str, Any]:
    """The call with what the proxy wrote about its request, as it wrote it.

    The Router puts a fallback entry's keys over the call's, `metadata` and `proxy_server_request` among them; without
    the record of the key LiteLLM charges nobody.
    """
    known: dict[str, Mapping[str, Any]] = {
        name: value for name in _HOLDERS if _is_record(value := request.sent.get(name)) and value is not None
    }
    kept = dict(call)
    if "proxy_server_request" in request.sent:
        kept["proxy_server_request"] = request.sent["proxy_server_request"]
    for name, record in known.items():
        if kept.get(name) is not record:
            kept[name] = _restored(kept.get(name), record)
    for name in _HOLDERS:
        if name not in known and isinstance(kept.get(name), Mapping):
            kept[name] = {key: value for key, value in kept[name].items() if not _is_of_the_record(key)}
    return kept


def _is_record(value: Any) -> bool:
    return isinstance(value, Mapping) and any(_is_of_the_record(key) for key in value)


def _is_of_the_record(key: Any) -> bool:
    return isinstance(key, str) and key.startswith(_RECORD)


def _restored(given: Any, record: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in (given or {}).items() if not _is_of_the_record(key)}
    return {**own, **{key: value for key, value in record.items() if _is_of_the_record(key)}}
