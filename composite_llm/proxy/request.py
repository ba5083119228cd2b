"""One request of the proxy, and what is known of it from LiteLLM itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import litellm


@dataclass(slots=True, eq=False)
class ProxyRequest:
    """One authenticated HTTP request; all runs that it causes share it.

    Attributes:
        key: LiteLLM's record of the key, `UserAPIKeyAuth`; None where the proxy has no authentication.
        sent: The request as LiteLLM handed it to its hooks.
        call_type: LiteLLM's name of the endpoint's call, such as `acompletion`.
        spent: Tokens of the last run that failed in it, and the money of all that failed.
        failed_usd: That money, as far as it is known.
    """

    key: Any = None
    sent: Mapping[str, Any] = field(default_factory=dict)
    call_type: str = ""
    spent: tuple[litellm.Usage, float | None] | None = None
    failed_usd: float = 0.0


_REQUEST: ContextVar[ProxyRequest | None] = ContextVar("composite_proxy_request", default=None)


def current_request() -> ProxyRequest | None:
    """The request that the present call belongs to; None outside of any, and in the SDK."""
    return _REQUEST.get()


def begin_request(request: ProxyRequest) -> None:
    """Make it the current one; LiteLLM's proxy answers each request in a task of its own."""
    _REQUEST.set(request)
