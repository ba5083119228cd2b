"""What is asked of a `litellm.Router`, whichever of its two interfaces it has.

LiteLLM 1.109 answers through `registry()` and `settings()`, and warns of the attributes that older versions have instead.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from composite_llm.backend import compat
from composite_llm.model.model_strings import is_composite_model

_PROXY_SERVER = "litellm.proxy.proxy_server"
_MAX_FALLBACKS = 20


@dataclass(slots=True)
class RouterInUse:
    """The Router whose names nodes may use.

    Attributes:
        own: The application's; without one it is that of LiteLLM's proxy, if this is its process.
    """

    own: Any = None

    def answering(self, model: str) -> Any:
        """The Router that answers for this name; None if none does."""
        router = self.own or proxy_router()
        return router if router is not None and knows(router, model) else None

    def names(self) -> frozenset[str]:
        """The names that it answers for."""
        router = self.own or proxy_router()
        return public_names(router) if router is not None else frozenset()


@dataclass(frozen=True, slots=True)
class Deployed:
    """One deployment behind a Router's name.

    Attributes:
        model: Its LiteLLM model string.
        described_as: The model string whose entry of LiteLLM's table describes it.
        said: What the operator says of it: prices, window, capabilities, in that table's words.
    """

    model: str
    described_as: str
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_composite(self) -> bool:
        """Whether it is a composite, whose own calls are what is charged."""
        return is_composite_model(self.model)


def proxy_router() -> Any:
    """The Router of LiteLLM's proxy; None outside of its process."""
    return compat.LLM_ROUTER.get() if _PROXY_SERVER in sys.modules else None


def public_names(router: Any) -> frozenset[str]:
    """The model names that the router answers for, aliases included."""
    return frozenset().union(*_names_and_aliases(router))


def knows(router: Any, model: str) -> bool:
    """Whether the router answers for this name."""
    return any(model in names for names in _names_and_aliases(router))


def _names_and_aliases(router: Any) -> tuple[Collection[str], Collection[str]]:
    registry = _registry(router)
    if registry is not None:
        with contextlib.suppress(AttributeError, TypeError):  # a registry of another release
            return registry.names(kind="group_set"), registry.aliases() or ()
    names = compat.MODEL_NAMES.of(router)
    if names is None:
        names = [row.get("model_name") for row in router.get_model_list() or ()]
    return names, compat.MODEL_GROUP_ALIAS.of(router) or ()


def _registry(router: Any) -> Any:
    found = compat.REGISTRY.of(router)
    return None if found is None else found()


def _settings(router: Any) -> Any:
    """What holds the Router's settings."""
    found = compat.SETTINGS.of(router)
    return router if found is None else found()


def deployment_row(router: Any, model_id: str) -> Mapping[str, Any] | None:
    """The deployment of that id as the Router keeps it: `model_name`, `litellm_params`, `model_info`; None for none."""
    registry = _registry(router)
    if registry is not None:
        with contextlib.suppress(AttributeError, TypeError):  # as above
            return _as_row(registry.deployment(model_id))
    find = compat.ROUTER_MODEL_INFO.of(router)
    if find is not None:
        return _as_row(find(model_id))
    rows = (row for row in deployment_rows(router) if (row.get("model_info") or {}).get("id") == model_id)
    return next(rows, None)


def deployment_rows(router: Any) -> list[Mapping[str, Any]]:
    """All deployments, in the same form."""
    rows = [_as_row(row) for row in router.get_model_list() or ()]
    return [row for row in rows if row is not None]


def _as_row(deployment: Any) -> Mapping[str, Any] | None:
    if deployment is None or isinstance(deployment, Mapping):
        return deployment
    row: Mapping[str, Any] = deployment.model_dump(exclude_none=True)
    return row


def default_params(router: Any) -> Mapping[str, Any]:
    """What the Router adds to the call of every deployment."""
    defaults = getattr(_settings(router), "default_litellm_params", None)
    return {key: value for key, value in defaults.items() if value is not None} if isinstance(defaults, Mapping) else {}


def deployed_as(router: Any, model_id: str) -> Deployed | None:
    """What the deployment of that id is; None if there is none."""
    row = deployment_row(router, model_id)
    return None if row is None else _deployed(row)


def deployed(router: Any, model: str) -> list[Deployed]:
    """What may answer for a name or an alias, equal deployments once; asked anew, since a proxy's change at any time."""
    deployments: list[Deployed] = []
    for row in _rows(router, model) or ():
        deployment = _deployed(row)
        if deployment is not None and deployment not in deployments:
            deployments.append(deployment)
    return deployments


def _rows(router: Any, model: str) -> Any:
    registry = _registry(router)
    if registry is not None:
        with contextlib.suppress(AttributeError, TypeError):  # as above
            return registry.deployments(model)
    return router.get_model_list(meant_by(router, model))


def meant_by(router: Any, name: str) -> str:
    """The name that an alias stands for, or the name itself; LiteLLM 1.94 lists nothing for a hidden one."""
    alias = (compat.MODEL_GROUP_ALIAS.of(router) or {}).get(name, name)
    return str(alias["model"] if isinstance(alias, Mapping) else alias)


def _deployed(row: Mapping[str, Any]) -> Deployed | None:
    params, info = row.get("litellm_params") or {}, row.get("model_info") or {}
    model = params.get("model")
    if not isinstance(model, str):
        return None
    said = {key: value for key, value in info.items() if value is not None and key not in _BOOKKEEPING}
    said |= {key: params[key] for key in params if _is_price(key) and params[key] is not None}
    base_model = said.get("base_model")
    return Deployed(model, base_model if isinstance(base_model, str) else model, said)


def _is_price(key: str) -> bool:
    return "_cost_per_" in key or key.endswith("_token_cost")


_BOOKKEEPING = frozenset({"id", "created_at", "updated_at", "created_by", "updated_by"})


def with_fallbacks(router: Any, model: str) -> list[str]:
    """The name, and every name of the router that may answer in its place."""
    holder = _settings(router)
    reached = [model]
    for name in reached:
        reached += [other for other in _fallbacks_of(holder, name) if other not in reached]
        if len(reached) > _MAX_FALLBACKS:
            break
    return reached


def _fallbacks_of(holder: Any, name: str) -> Iterator[str]:
    for kind in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
        for entry in getattr(holder, kind, None) or ():
            if isinstance(entry, Mapping):
                for key in (name, "*"):
                    yield from _names(entry.get(key))


def _names(entry: Any) -> list[str]:
    names = entry if isinstance(entry, Sequence) and not isinstance(entry, str) else [entry]
    named = [item.get("model") if isinstance(item, Mapping) else item for item in names]
    return [item for item in named if isinstance(item, str)]
