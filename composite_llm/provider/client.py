"""Who asks when LiteLLM's proxy asks: what came from its client, what the operator set, and which models the client reaches."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from composite_llm.config.node import resolved_params
from composite_llm.config.options import ALL_OPTIONS
from composite_llm.config.parameters import CONNECTION
from composite_llm.config.plan import Plan, make_plan, nested_options, nodes_of
from composite_llm.config.policy import NODES, check_client
from composite_llm.config.profiles import Profiles
from composite_llm.errors import OptionNotAllowed

_FINAL_ROLES = ("aggregator", "chairman")


@dataclass(frozen=True, slots=True)
class ProxyClient:
    """A client of the proxy and its request.

    Attributes:
        sent: The options and parameters in its body, wherever they stood.
        operator: The deployment's own settings.
        operator_model: The deployment's model string; a wildcard lets the client name the models.
        may_set: Options the operator allows clients by name.
        token: LiteLLM's record of the key; None where the proxy has no authentication.
    """

    sent: Mapping[str, Any]
    operator: Mapping[str, Any]
    operator_model: str | None
    may_set: tuple[str, ...]
    token: Any

    @property
    def names_the_models(self) -> bool:
        """Whether the model string is the client's own."""
        return self.operator_model is None or "*" in self.operator_model

    def check_options(self, model: str, profiles: Profiles) -> None:
        """Refuse options that are not the client's to set.

        Raises:
            OptionNotAllowed: names the first.
        """
        check_client(self.sent, self._limits(model, profiles), self.may_set)

    def with_operators_connection(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The call's parameters with endpoint, key and headers from the deployment alone.

        LiteLLM puts a key or headers that a client sent in the place of the deployment's, and does not show where they
        came from.
        """
        own = {key: value for key, value in self.operator.items() if key in CONNECTION}
        return {**{key: value for key, value in given.items() if key not in CONNECTION}, **resolved_params(own)}

    def _limits(self, model: str, profiles: Profiles) -> dict[str, Any]:
        plan = make_plan(model, _options_in(self.operator), profiles)
        limits = plan.options.model_dump(include={"max_cost_usd", "max_calls", "max_tool_rounds", "samples", "layers"})
        return {**limits, "timeout": plan.timeout_s}

    def chosen_models(self, plan: Plan, profiles: Profiles) -> list[str]:
        """The underlying models that the client's own choices reach."""
        if self.names_the_models:
            nodes = list(nodes_of(plan))
        else:
            named = [key for key in (*NODES, *_FINAL_ROLES) if key in self.sent]
            nodes = [node for key in named for node in _as_nodes(getattr(plan.options, key, None))]
        reached: list[str] = []
        for node in nodes:
            if node.is_composite:
                reached += self.chosen_models(make_plan(node.model, nested_options(node), profiles), profiles)
            elif node.model:
                reached.append(node.model)
        return list(dict.fromkeys(reached))

    async def check_models(self, models: Sequence[str]) -> None:
        """Refuse models that are not the proxy's own, or not this key's to call.

        Raises:
            OptionNotAllowed: names the model.
        """
        if not models:
            return
        proxy = _proxy_server()
        router = getattr(proxy, "llm_router", None)
        names = set(getattr(router, "model_names", ()) or ())
        for model in models:
            if model not in names:
                raise OptionNotAllowed(f"model {model!r} is not one of this proxy's models")
            await self._check_key(model, router, getattr(proxy, "llm_model_list", None))

    async def _check_key(self, model: str, router: Any, model_list: Any) -> None:
        if self.token is None:
            return
        from litellm.proxy.auth.auth_checks import can_key_call_model

        try:
            await can_key_call_model(model=model, llm_model_list=model_list, valid_token=self.token, llm_router=router)
        except Exception:  # noqa: BLE001  # whatever kept the check from passing, the model is not allowed
            raise OptionNotAllowed(f"model {model!r} is not allowed for this key") from None
        team_models = list(getattr(self.token, "team_models", None) or ())
        if team_models and not {model, "*", "all-proxy-models"} & set(team_models):
            raise OptionNotAllowed(f"model {model!r} is not allowed for this key's team")


def _as_nodes(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _proxy_server() -> Any:
    return sys.modules.get("litellm.proxy.proxy_server")


def proxy_client(litellm_params: Mapping[str, Any]) -> ProxyClient | None:
    """The proxy's client behind a call; None for a call of the SDK."""
    request = litellm_params.get("proxy_server_request")
    body = request.get("body") if isinstance(request, Mapping) else None
    if not isinstance(body, Mapping):
        return None
    metadata = litellm_params.get("metadata") or {}
    model_info = litellm_params.get("model_info") or {}
    policy = model_info.get("composite") if isinstance(model_info, Mapping) else None
    may_set = policy.get("client_may_set") if isinstance(policy, Mapping) else None
    deployment = _deployment(model_info.get("id") if isinstance(model_info, Mapping) else None)
    return ProxyClient(
        sent=_sent(body),
        operator=deployment,
        operator_model=deployment.get("model"),
        may_set=tuple(may_set or ()),
        token=metadata.get("user_api_key_auth"),
    )


def _deployment(model_id: Any) -> dict[str, Any]:
    router = getattr(_proxy_server(), "llm_router", None)
    deployment = router.get_deployment(model_id) if router is not None and isinstance(model_id, str) else None
    return deployment.litellm_params.model_dump(exclude_none=True) if deployment is not None else {}


def _sent(body: Mapping[str, Any]) -> dict[str, Any]:
    nested = [body.get("optional_params"), body.get("extra_body")]
    inner = {key: value for part in nested if isinstance(part, Mapping) for key, value in part.items()}
    return {**inner, **{key: value for key, value in body.items() if key not in ("optional_params", "extra_body")}}


def _options_in(operator: Mapping[str, Any]) -> dict[str, Any]:
    """A deployment's settings without what LiteLLM keeps there for itself."""
    return {
        key: value for key, value in operator.items() if key in ALL_OPTIONS or key in ("timeout", "optional_params")
    }
