"""A deployment of the proxy's Router, as its operator wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from composite_llm.backend import compat
from composite_llm.backend.litellm_router import default_params, deployment_row, proxy_router
from composite_llm.config.node import resolved_params
from composite_llm.config.parameters import CONNECTION
from composite_llm.model.model_strings import COMPOSITE_PREFIX

CONTAINERS = ("optional_params", "extra_body")
"""Parameters that hold parameters."""


@dataclass(frozen=True, slots=True)
class OwnDeployment:
    """What the operator says of one deployment.

    Attributes:
        id: LiteLLM's.
        names: The name that clients call it by, several deployments perhaps, and the one that its team's members see.
        model: Its model string; a wildcard lets the client name the models.
        params: Its `litellm_params` without nulls, above what the Router adds to every deployment.
        may_set: Options that the operator allows clients by name.
        defaults: What the Router adds to every deployment.
    """

    id: str
    names: tuple[str, ...]
    model: str
    params: Mapping[str, Any]
    may_set: tuple[str, ...]
    defaults: Mapping[str, Any]

    @property
    def names_the_models(self) -> bool:
        """Whether the model string is the client's own."""
        return "*" in self.model

    def is_own(self, key: str, value: Any) -> bool:
        """Whether a parameter of a call is as the operator wrote it."""
        return _same(value, self.params.get(key)) or (key in self.defaults and _same(value, self.defaults[key]))

    def inside(self, container: str) -> Mapping[str, Any]:
        """What the operator put into a parameter that holds parameters."""
        parameters = self.params.get(container)
        return parameters if isinstance(parameters, Mapping) else {}

    def connection(self) -> dict[str, Any]:
        """Endpoint and key, those of a credential that the operator named among them; read from the environment now."""
        own = {key: value for key, value in self.params.items() if key in CONNECTION}
        return {**_credential(self.params.get("litellm_credential_name")), **resolved_params(own)}


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001  # objects that cannot be compared are not the same
        return False


def _credential(name: Any) -> dict[str, Any]:
    if not isinstance(name, str):
        return {}
    accessor = compat.CREDENTIALS.get()
    try:
        values = accessor.get_credential_values(name)
    except (AttributeError, TypeError):
        return {}
    return {key: value for key, value in values.items() if key in CONNECTION and value is not None}


def own_deployment(model: str, model_id: Any) -> OwnDeployment | None:
    """The deployment behind a call of a composite; None if it cannot be found, or would not make this call.

    Args:
        model: The call's model string.
        model_id: The deployment's id, as the Router told it.
    """
    router = proxy_router()
    row = deployment_row(router, model_id) if router is not None and isinstance(model_id, str) else None
    if row is None:
        return None
    deployment = deployment_from(row, default_params(router))
    return deployment if deployment is not None and _matches(deployment.model, model) else None


def deployment_from(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> OwnDeployment | None:
    """What one entry of the Router's list says; None for one without a model."""
    params = {key: value for key, value in (row.get("litellm_params") or {}).items() if value is not None}
    info = row.get("model_info") or {}
    policy = info.get("composite")
    model = params.get("model")
    if not isinstance(model, str):
        return None
    return OwnDeployment(
        id=str(info.get("id")),
        names=tuple(str(name) for name in (row.get("model_name"), info.get("team_public_model_name")) if name),
        model=model,
        params={**defaults, **params},
        may_set=_names(policy.get("client_may_set") if isinstance(policy, Mapping) else None),
        defaults=defaults,
    )


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list | tuple) else ()


def _matches(pattern: str, model: str) -> bool:
    """Whether a deployment's model string, perhaps with one `*`, is that of a call."""
    pattern, model = pattern.removeprefix(COMPOSITE_PREFIX), model.removeprefix(COMPOSITE_PREFIX)
    head, star, tail = pattern.partition("*")
    if not star:
        return pattern == model
    return len(model) >= len(head) + len(tail) and model.startswith(head) and model.endswith(tail)
