"""What a test's proxy writes down, one JSON object for each line: LiteLLM's events, and the charges of its spend tracking.

The spend tracking is LiteLLM's own. Only its last step, which would write to Postgres, writes `charges.jsonl` instead.
The proxy executes this file by its path.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy.hooks.proxy_track_cost_callback import _ProxyDBLogger
from litellm.proxy.proxy_server import proxy_logging_obj

_HERE = Path(__file__).parent


def _write(name: str, entry: dict[str, Any]) -> None:
    with (_HERE / name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, default=str) + "\n")


class Events(CustomLogger):
    """Every call that LiteLLM reports, whole runs and the calls inside them."""

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """A call that was answered."""
        _write("events.jsonl", _event("success", kwargs))

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """A call that failed."""
        _write("events.jsonl", _event("failure", kwargs))


def _event(kind: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    params = kwargs.get("litellm_params") or {}
    metadata = params.get("metadata") or {}
    payload = kwargs.get("standard_logging_object") or {}
    return {
        "kind": kind,
        "call_id": kwargs.get("litellm_call_id"),
        "key": metadata.get("user_api_key"),
        "provider": payload.get("custom_llm_provider"),
        "model": payload.get("model"),
        "model_group": payload.get("model_group"),
        "trace_id": payload.get("trace_id"),
        "cost_usd": kwargs.get("response_cost"),
        "logged_cost_usd": payload.get("response_cost"),
        "total_tokens": payload.get("total_tokens"),
        "cache_hit": payload.get("cache_hit"),
        "identity": sorted(key for key, value in metadata.items() if key.startswith("user_api_key") and value),
        "markers": {key: value for key, value in metadata.items() if key.startswith("composite_")},
    }


async def _charge(*, token: str, response_cost: float, kwargs: dict[str, Any], **rest: Any) -> bool:
    """One charge to a key, in the place of the one to Postgres."""
    kind = "failure" if isinstance(rest.get("completion_response"), Exception) else "success"
    call_id = kwargs.get("litellm_call_id")
    _write("charges.jsonl", {"key": token, "cost_usd": response_cost, "call_id": call_id, "kind": kind})
    return True


_writer: Any = proxy_logging_obj.db_spend_update_writer
_writer.update_database = _charge
spend_tracking = _ProxyDBLogger()
events = Events()
