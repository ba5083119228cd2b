"""Who asks when LiteLLM's proxy asks: what came from its client, what the operator set, and which models the client reaches."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from composite_llm.backend.litellm_router import deployment as deployment_of
from composite_llm.backend.litellm_router import public_names
from composite_llm.config.node import COMPOSITE_PREFIX, Node, resolved_params
from composite_llm.config.options import ALL_OPTIONS
from composite_llm.config.parameters import CONNECTION
from composite_llm.config.plan import Plan, make_plan, nested_options, nodes_of
from composite_llm.config.policy import FINAL, NODES, check_client, key_shown
from composite_llm.config.profiles import Profiles
from composite_llm.errors import InvalidOption, OptionNotAllowed
from composite_llm.proxy.request import current_request

MAX_MODEL_CHARACTERS = 512

_CONTAINERS = ("optional_params", "extra_body")
_CAPS = ("max_calls", "max_cost_usd")
_TIMES = frozenset({"timeout", "stream_timeout", "request_timeout"})


@dataclass(frozen=True, slots=True)
class ProxyClient:
    """A client of the proxy and its request.

    Attributes:
        sent: The options and parameters in its body, from each place where one can stand.
        operator: The deployment's own settings.
        operator_model: The deployment's model string; a wildcard lets the client name the models.
        may_set: Options the operator allows clients by name.
        token: LiteLLM's record of the key; None where the proxy has no authentication.
        inside: Of what it sent, what stood in `optional_params` or `extra_body` alone.
    """

    sent: tuple[tuple[str, Any], ...]
    operator: Mapping[str, Any]
    operator_model: str | None
    may_set: tuple[str, ...]
    token: Any
    inside: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names_the_models(self) -> bool:
        """Whether the model string is the client's own."""
        return self.operator_model is None or "*" in self.operator_model

    @property
    def chose_time(self) -> bool:
        """Whether it asked for a limit of its own; LiteLLM puts one from a header among what was sent."""
        request = current_request()
        return any(key in _TIMES for key, _ in (*self.sent, *(request.sent.items() if request is not None else ())))

    def limits(self, model: str, profiles: Profiles) -> dict[str, Any]:
        """The operator's values of what a client may only lower.

        Raises:
            InvalidOption: The model string is of no use.
        """
        if len(model) > MAX_MODEL_CHARACTERS:
            raise InvalidOption("model", "is too long", allowed=f"at most {MAX_MODEL_CHARACTERS} characters")
        plan = make_plan(model, _options_in(self.operator), profiles)
        limits = plan.options.model_dump(include={"max_cost_usd", "max_calls", "max_tool_rounds", "samples", "layers"})
        return {**limits, "timeout": plan.timeout_s}

    def check_options(self, limits: Mapping[str, Any]) -> None:
        """Refuse options that are not the client's to set.

        Raises:
            OptionNotAllowed: names the first.
        """
        check_client(self.sent, limits, self.may_set)

    def merged(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The call's parameters, with the client's over the operator's one by one.

        LiteLLM puts a mapping that a client sent in the place of the deployment's as a whole, which would drop the
        operator's options in it, and likewise a key or headers, without showing where they came from.
        """
        flat = {key: value for key, value in given.items() if key not in CONNECTION and key not in _CONTAINERS}
        rest: dict[str, Any] = {}
        for name in _CONTAINERS:
            own, sent = _mapping(self.operator.get(name)), _mapping(given.get(name))
            for key, value in own.items():
                if name == "optional_params" or key in ALL_OPTIONS:
                    flat.setdefault(key, value)
            if name == "extra_body":
                rest = {key: value for key, value in {**own, **sent}.items() if key not in ALL_OPTIONS}
        flat.update({key: value for key, value in self.inside.items() if key in ALL_OPTIONS or key == "timeout"})
        connection = {key: value for key, value in self.operator.items() if key in CONNECTION}
        return {**flat, **({"extra_body": rest} if rest else {}), **resolved_params(connection)}

    def within_caps(self, plan: Plan) -> Plan:
        """The plan within what the operator allows this key, and its team, for one run: `metadata.composite`."""
        lower: dict[str, Any] = {}
        for name in _CAPS:
            caps = [cap for cap in self._caps(name) if cap is not None]
            own = getattr(plan.options, name)
            if caps and (own is None or min(caps) < own):
                lower[name] = min(caps)
        return replace(plan, options=plan.options.model_copy(update=lower)) if lower else plan

    def _caps(self, name: str) -> Iterator[float | None]:
        for holder in ("metadata", "team_metadata"):
            metadata = getattr(self.token, holder, None)
            limits = metadata.get("composite") if isinstance(metadata, Mapping) else None
            if limits is None:
                continue
            cap = limits.get(name) if isinstance(limits, Mapping) else limits
            if cap is not None and (not isinstance(cap, int | float) or isinstance(cap, bool) or not cap > 0):
                # A cap that cannot be read must not be none.
                raise OptionNotAllowed(
                    f"{name}: the limit of this key is not a number above 0; ask the proxy's operator"
                )
            yield cap

    def chosen_models(self, plan: Plan, profiles: Profiles) -> Choice:
        """The underlying models that the client's own choices reach."""
        if self.names_the_models:
            return _reached(plan, profiles)
        sent = {key for key, value in self.sent if value is not None}
        options = [getattr(plan.options, key, None) for key in sorted(sent & NODES)]
        nodes = [node for option in options for node in option or ()]
        if sent & FINAL:
            nodes.append(plan.final)
        return Choice(named=tuple(dict.fromkeys(node.model for node in nodes)))

    async def check_models(self, choice: Choice) -> None:
        """Refuse models that are not the proxy's own, or not this key's to call.

        Raises:
            OptionNotAllowed: names the model.
        """
        if not choice:
            return
        proxy = _proxy_server()
        router = getattr(proxy, "llm_router", None)
        names = public_names(router) if router is not None else frozenset()
        for model in choice.named:
            if model not in names:
                raise OptionNotAllowed(f"model {model!r} is not one of this proxy's models")
        for model in dict.fromkeys((*choice.named, *choice.operators)):
            # A node of the operator's own, that is no model of the proxy, is on nobody's list.
            if model in names and not await self._may_call(model, proxy):
                raise OptionNotAllowed(f"model {model!r} is not allowed for this key")

    async def _may_call(self, model: str, proxy: Any) -> bool:
        """What LiteLLM asks before it lets a key call a model: the lists of the key, its team, its project and its user."""
        if self.token is None:
            return True
        from litellm.proxy.auth.auth_checks import can_key_call_resolved_model, can_user_call_model

        router, models = getattr(proxy, "llm_router", None), getattr(proxy, "llm_model_list", None)
        try:
            await can_key_call_resolved_model(
                model=model, llm_model_list=models, valid_token=self.token, llm_router=router
            )
            # As LiteLLM: a team's key has the team's models, whoever made it.
            user = None if self.token.team_id is not None else await _user(self.token, proxy)
            await can_user_call_model(model=model, llm_router=router, user_object=user)
        except Exception:  # noqa: BLE001  # whatever kept the check from passing, the model is not allowed
            return False
        return True


@dataclass(frozen=True, slots=True)
class Choice:
    """Models that a run reaches because of its client.

    Attributes:
        named: Named by the client.
        operators: Named by the operator, in a profile that the client named.
    """

    named: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.named or self.operators)


def _reached(plan: Plan, profiles: Profiles, *, by_operator: bool = False) -> Choice:
    named: list[str] = []
    operators: list[str] = []
    by_operator = by_operator or plan.logical_model.startswith(f"{COMPOSITE_PREFIX}profile/")
    for node in nodes_of(plan):
        if node.is_composite:
            inner = _reached(_nested(node, profiles), profiles, by_operator=by_operator)
            named += inner.named
            operators += inner.operators
        else:
            (operators if by_operator else named).append(node.model)
    return Choice(tuple(dict.fromkeys(named)), tuple(dict.fromkeys(operators)))


def _nested(node: Node, profiles: Profiles) -> Plan:
    return make_plan(node.model, nested_options(node), profiles)


async def _user(token: Any, proxy: Any) -> Any:
    if token.user_id is None:
        return None
    from litellm.proxy.auth.auth_checks import get_user_object

    # LiteLLM's own check goes on without the user's list when there is no such user, or no database.
    with contextlib.suppress(Exception):
        return await get_user_object(
            user_id=token.user_id,
            prisma_client=getattr(proxy, "prisma_client", None),
            user_api_key_cache=proxy.user_api_key_cache,
            user_id_upsert=False,
        )
    return None


def _proxy_server() -> Any:
    return sys.modules.get("litellm.proxy.proxy_server")


def proxy_client(kwargs: Mapping[str, Any]) -> ProxyClient | None:
    """The proxy's client behind a call of the handler; None for a call of the SDK.

    Raises:
        OptionNotAllowed: It put options into one another.
    """
    litellm_params = kwargs.get("litellm_params") or {}
    metadata = litellm_params.get("metadata") or {}
    request = litellm_params.get("proxy_server_request")
    body = request.get("body") if isinstance(request, Mapping) else None
    if not isinstance(body, Mapping):
        if "user_api_key_auth" not in metadata:
            return None
        body = None
    model_info = litellm_params.get("model_info") or {}
    policy = model_info.get("composite") if isinstance(model_info, Mapping) else None
    deployment = _deployment(model_info.get("id") if isinstance(model_info, Mapping) else None)
    if body is None:
        # A route whose body LiteLLM does not show: whatever is not the deployment's own counts as the client's.
        given = kwargs.get("optional_params") or {}
        body = {key: value for key, value in given.items() if deployment.get(key) != value}
    return ProxyClient(
        sent=tuple(_sent(body)),
        operator=deployment,
        operator_model=deployment.get("model"),
        may_set=_names(policy.get("client_may_set") if isinstance(policy, Mapping) else None),
        token=metadata.get("user_api_key_auth"),
        inside={
            key: value
            for name in _CONTAINERS
            for key, value in _mapping(body.get(name)).items()
            if value is not None and body.get(key) is None
        },
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list | tuple) else ()


def _deployment(model_id: Any) -> dict[str, Any]:
    router = getattr(_proxy_server(), "llm_router", None)
    if router is None:
        return {}
    deployment = deployment_of(router, model_id) if isinstance(model_id, str) else None
    if deployment is None:
        # LiteLLM gives a deployment another id when the client brings a key of its own. Without the deployment the
        # operator's limits are unknown, which must not be none.
        raise OptionNotAllowed("api_key: a client of the proxy may not set it")
    settings: dict[str, Any] = deployment.litellm_params.model_dump(exclude_none=True)
    return settings


def _sent(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every option and parameter of the body, once for each place where it stands."""
    for key, value in body.items():
        if key not in _CONTAINERS:
            yield key, value
            continue
        if value is not None and not isinstance(value, Mapping):
            raise InvalidOption(key, "is not a mapping", allowed="a mapping of options")
        for inner, inner_value in _mapping(value).items():
            if inner in _CONTAINERS:
                raise OptionNotAllowed(f"{key}.{inner}: a client of the proxy may not set it")
            if key == "optional_params" and inner not in ALL_OPTIONS and inner != "timeout":
                # LiteLLM, which looks through the body for endpoints and credentials, does not look in here.
                raise OptionNotAllowed(f"optional_params.{key_shown(inner)}: from a client of the proxy, options alone")
            yield inner, inner_value


def _options_in(operator: Mapping[str, Any]) -> dict[str, Any]:
    """A deployment's settings without what LiteLLM keeps there for itself."""
    return {key: value for key, value in operator.items() if key in ALL_OPTIONS or key in ("timeout", *_CONTAINERS)}
