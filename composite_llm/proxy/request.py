"""One request of the proxy, and what is known of it from LiteLLM itself."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import litellm

from composite_llm.backend.litellm_response_cache import NO_STORE
from composite_llm.proxy.deployment import CONTAINERS, OwnDeployment
from composite_llm.run import SharedLimits

_REPEATING = (
    "fallbacks",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "router_settings_override",
    "num_retries",
    "max_retries",
)
"""With these a client has LiteLLM make further calls for its request."""


@dataclass(slots=True, eq=False)
class ProxyRequest:
    """One authenticated HTTP request; all runs that it causes share it.

    Attributes:
        id: Nobody else's.
        key: LiteLLM's record of the key, `UserAPIKeyAuth`; None where the proxy has no authentication.
        sent: The request as LiteLLM handed it to its hooks.
        body: The client's body as it came.
        call_type: LiteLLM's name of the endpoint's call, such as `acompletion`.
        health_of: The deployment that LiteLLM checks by this call; None for a request of a client.
        spent: Tokens of the last run that failed in it, and the money of all that failed.
        failed_usd: That money, as far as it is known.
    """

    key: Any = None
    sent: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    call_type: str = ""
    health_of: OwnDeployment | None = None
    spent: tuple[litellm.Usage, float | None] | None = None
    failed_usd: float = 0.0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _limits: dict[str, SharedLimits] = field(default_factory=dict)
    _cache_controls: list[dict[str, Any]] = field(default_factory=list)

    def limits(self, group: str) -> SharedLimits:
        """What the runs of a model group may use together in this request.

        One limit for all groups where the client asked for more than one call; fallbacks that only the operator
        configured have limits of their own, since the operator gave each group its own.
        """
        return self._limits.setdefault("" if self.repeats else group, SharedLimits())

    def cache_controls(self, given: Any) -> dict[str, Any]:
        """A call's controls of LiteLLM's response cache, which can still be changed when its answer is known."""
        controls = dict(given) if isinstance(given, Mapping) else {}
        self._cache_controls.append(controls)
        return controls

    def keep_out_of_cache(self) -> None:
        """Let LiteLLM store no answer of a composite in this request; of a bridged API it stores that of a call around ours."""
        for controls in self._cache_controls:
            controls[NO_STORE] = True

    @property
    def names(self) -> frozenset[str]:
        """Every parameter in its body that has a value, those inside of others too."""
        inside = [self.sent.get(container) for container in CONTAINERS]
        places = [self.sent, *(mapping for mapping in inside if isinstance(mapping, Mapping))]
        return frozenset(key for place in places for key, value in place.items() if value is not None)

    @property
    def checked_models(self) -> tuple[str, ...] | None:
        """The models in its body, which LiteLLM has checked with the key's lists; None where all that it calls was checked.

        A client adds to them by fallbacks, and by a query, whose `model` LiteLLM takes without a further check.
        """
        asked = self.body.get("model")
        if not self.repeats and (asked is None or asked == self.sent.get("model")):
            return None
        names = asked.split(",") if isinstance(asked, str) else asked if isinstance(asked, list) else ()
        named = [name.strip() for name in names if isinstance(name, str)]
        aliases = getattr(self.key, "aliases", None)
        known = aliases if isinstance(aliases, Mapping) else {}
        return (*named, *(str(known[name]) for name in named if name in known))

    @property
    def repeats(self) -> bool:
        """Whether the client has LiteLLM make further calls for its request."""
        model = self.sent.get("model")
        several = isinstance(model, list) or (isinstance(model, str) and "," in model)
        # Retries can be asked for by a header; the rest can be the operator's settings for the key.
        asked = [self.sent.get("num_retries"), *(self.body.get(name) for name in _REPEATING)]
        return several or any(value is not None for value in asked)


_REQUEST: ContextVar[ProxyRequest | None] = ContextVar("composite_proxy_request", default=None)


def current_request() -> ProxyRequest | None:
    """The request that the present call belongs to; None outside of any, and in the SDK."""
    return _REQUEST.get()


def begin_request(request: ProxyRequest) -> None:
    """Make it the current one; LiteLLM's proxy answers each request in a task of its own."""
    _REQUEST.set(request)
