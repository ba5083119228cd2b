"""Who asks when LiteLLM's proxy asks: what its client set, what the operator set, and which models the client reaches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from composite_llm.backend import compat
from composite_llm.backend.litellm_router import meant_by, proxy_router, public_names
from composite_llm.config.node import Node
from composite_llm.config.parameters import CONNECTION
from composite_llm.config.plan import Plan, make_plan, nested_options, nodes_of
from composite_llm.config.profiles import Profiles
from composite_llm.config.registry import ALL_OPTIONS, STRATEGIES, nodes_in
from composite_llm.model.errors import InvalidOption, OptionNotAllowed
from composite_llm.model.model_strings import COMPOSITE_PREFIX, PROFILE_PREFIX
from composite_llm.proxy.deployment import CONTAINERS, OwnDeployment, own_deployment
from composite_llm.proxy.owner import authenticates
from composite_llm.proxy.policy import check_client
from composite_llm.proxy.request import ProxyRequest, current_request
from composite_llm.proxy.share import Given, clients_share, merged
from composite_llm.run import SharedLimits

MAX_MODEL_CHARACTERS = 512

_CAPS = ("max_calls", "max_cost_usd")
_TIMES = frozenset({"timeout", "stream_timeout", "request_timeout"})


@dataclass(frozen=True, slots=True)
class ProxyClient:
    """A client of the proxy and its call.

    Attributes:
        model: The call's model string, without the provider's prefix.
        request: The request that the call belongs to.
        own: The deployment that the call goes to.
        call: The call's options and parameters.
        share: Those of them that are not the deployment's own.
    """

    model: str
    request: ProxyRequest
    own: OwnDeployment
    call: Mapping[str, Any]
    share: tuple[Given, ...]

    @property
    def shared_limits(self) -> SharedLimits:
        """What this run uses up together with the others of its request."""
        return self.request.limits(self.own.names[0])

    @property
    def chose_time(self) -> bool:
        """Whether it asked for a limit of its own; LiteLLM puts one from a header among what was sent."""
        return any(key in _TIMES for key in (*(given.key for given in self.share), *self.request.sent))

    def limits(self, model: str, profiles: Profiles) -> dict[str, Any]:
        """The operator's values of what a client may set only so far.

        Raises:
            InvalidOption: The model string is of no use.
        """
        if len(model) > MAX_MODEL_CHARACTERS:
            raise InvalidOption("model", "is too long", allowed=f"at most {MAX_MODEL_CHARACTERS} characters")
        plan = make_plan(model, _options_in(self.own.params), profiles)
        limits = plan.options.model_dump(include={"max_cost_usd", "max_calls", "max_tool_rounds", "samples", "layers"})
        reasoning = plan.options.reasoning if "reasoning" in plan.options.model_fields_set else None
        return {**limits, "reasoning": reasoning, "timeout": plan.timeout_s}

    def check_options(self, limits: Mapping[str, Any]) -> None:
        """Refuse options that are not the client's to set.

        Raises:
            OptionNotAllowed: names the first.
        """
        check_client(((given.key, given.value) for given in self.share), limits, self.own.may_set)

    def merged(self) -> dict[str, Any]:
        """The run's options and parameters: the operator's own, and above them what the client may set."""
        return merged(self.call, self.own, self.share)

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
            metadata = getattr(self.request.key, holder, None)
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

    def chosen_models(self, plan: Plan, profiles: Profiles) -> ChosenModel:
        """The underlying models that the client's own choices reach."""
        if self.own.names_the_models:
            return _reached(plan, profiles)
        sent = {given.key for given in self.share}
        own = type(plan.options).model_fields
        options = [getattr(plan.options, key) for key in sorted(sent & STRATEGIES.node_options().keys() & own.keys())]
        nodes = [node for option in options for node in nodes_in(option)]
        if plan.options.final_role in sent:
            nodes.append(plan.final)
        return ChosenModel(named=tuple(dict.fromkeys(node.model for node in nodes)))

    async def check_early(self, profiles: Profiles) -> None:
        """Refuse what the client's choice of models would have refused once the run begins.

        A stream has begun by then: on some endpoints its client has been told 200.

        Raises:
            CompositeError: The run would not begin.
        """
        sent = {given.key for given in self.share}
        if self.own.names_the_models or sent & STRATEGIES.node_options().keys() or self._names_to_check():
            self.check_options(self.limits(self.model, profiles))
            plan = make_plan(f"{COMPOSITE_PREFIX}{self.model}", self.merged(), profiles)
            await self.check_models(self.chosen_models(plan, profiles))

    async def check_models(self, choice: ChosenModel) -> None:
        """Refuse models that are not the proxy's own, or not this key's to call.

        Raises:
            OptionNotAllowed: names the model.
        """
        unchecked = self._names_to_check()
        if unchecked and not any([await self._may_call(name) for name in unchecked]):
            raise OptionNotAllowed(f"model {unchecked[-1]!r} is not allowed for this key")
        if not choice:
            return
        router = proxy_router()
        names = public_names(router) if router is not None else frozenset()
        for model in choice.named:
            if model not in names:
                raise OptionNotAllowed(f"model {model!r} is not one of this proxy's models")
        for model in dict.fromkeys((*choice.named, *choice.operators)):
            # A node of the operator's own, that is no model of the proxy, is on nobody's list.
            if model in names and not await self._may_call(model):
                raise OptionNotAllowed(f"model {model!r} is not allowed for this key")

    def _names_to_check(self) -> tuple[str, ...]:
        """The names of this call's model, where LiteLLM has not checked it with the key's lists."""
        checked = self.request.checked_models
        if checked is None:
            return ()
        names = (f"{COMPOSITE_PREFIX}{self.model}",) if self.own.names_the_models else self.own.names
        router = proxy_router()
        return () if any(meant_by(router, name) in names for name in checked) else names

    async def _may_call(self, model: str) -> bool:
        """What LiteLLM asks before it lets a key call a model: the lists of the key, its team, its project and its user."""
        token = self.request.key
        if token is None:
            return True
        router, models = proxy_router(), compat.MODEL_LIST.get()
        try:
            key_may_call, user_may_call = compat.KEY_MAY_CALL.required(), compat.USER_MAY_CALL.required()
            await key_may_call(model=model, llm_model_list=models, valid_token=token, llm_router=router)
            # As LiteLLM: a team's key has the team's models, whoever made it.
            user = None if token.team_id is not None else await _user(token)
            await user_may_call(model=model, llm_router=router, user_object=user)
        except Exception:  # noqa: BLE001  # whatever kept the check from passing, the model is not allowed
            return False
        return True


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """Models that a run reaches because of its client.

    Attributes:
        named: Named by the client.
        operators: Named by the operator, in a profile that the client named.
    """

    named: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.named or self.operators)


def _reached(plan: Plan, profiles: Profiles, *, by_operator: bool = False) -> ChosenModel:
    named: list[str] = []
    operators: list[str] = []
    by_operator = by_operator or plan.logical_model.startswith(PROFILE_PREFIX)
    for node in nodes_of(plan):
        if node.is_composite:
            inner = _reached(_nested(node, profiles), profiles, by_operator=by_operator)
            named += inner.named
            operators += inner.operators
        else:
            (operators if by_operator else named).append(node.model)
    return ChosenModel(tuple(dict.fromkeys(named)), tuple(dict.fromkeys(operators)))


def _nested(node: Node, profiles: Profiles) -> Plan:
    return make_plan(node.model, nested_options(node), profiles)


async def _user(token: Any) -> Any:
    if token.user_id is None:
        return None
    get_user, database, cache = (name.required() for name in (compat.USER_OBJECT, compat.DATABASE, compat.KEY_CACHE))
    # LiteLLM's own check goes on without the user's list when there is no such user, or no database.
    with contextlib.suppress(Exception):
        return await get_user(
            user_id=token.user_id,
            prisma_client=database,
            user_api_key_cache=cache,
            user_id_upsert=False,
        )
    return None


def proxy_client(kwargs: Mapping[str, Any], call: Mapping[str, Any]) -> ProxyClient | None:
    """The proxy's client behind a call of the handler; None for a call of the SDK.

    Args:
        kwargs: What LiteLLM handed to the handler.
        call: The options and parameters in it.

    Raises:
        OptionNotAllowed: Nobody can say whose call it is, or which deployment's.
    """
    if compat.RAW_REQUEST_ONLY.of(kwargs.get("logging_obj")):
        # LiteLLM wants to show what it would send, and takes what we send for that.
        raise OptionNotAllowed("a composite has no raw request to show")
    if compat.LLM_ROUTER.is_missing():
        raise no_request()
    if proxy_router() is None:
        return None
    request = current_request()
    if request is None or (request.key is None and request.health_of is None and authenticates()):
        raise no_request()
    model = str(kwargs["model"]).removeprefix(COMPOSITE_PREFIX)
    own = request.health_of or own_deployment(model, _model_id(kwargs.get("litellm_params")))
    if own is None:
        raise no_deployment(call)
    return client_of(model, call, own, request)


def client_of(model: str, call: Mapping[str, Any], own: OwnDeployment, request: ProxyRequest) -> ProxyClient:
    """Who asks a deployment for this call.

    Args:
        model: The call's model string.
        call: Its options and parameters.
        own: The deployment.
        request: The request that the call belongs to.
    """
    # Endpoint and key are the deployment's whatever the call says; LiteLLM reads them from credentials too.
    judged = {key: value for key, value in call.items() if key not in CONNECTION}
    share = (*clients_share(judged, own, request.names), *_asked_timeout(request))
    return ProxyClient(model.removeprefix(COMPOSITE_PREFIX), request, own, judged, share)


def _asked_timeout(request: ProxyRequest) -> Iterator[Given]:
    """The limit that the client asked for, in its body or by a header; LiteLLM mixes it with limits of its own."""
    if (asked := request.sent.get("timeout")) is not None:
        yield Given("timeout", asked)


def no_request() -> OptionNotAllowed:
    """The refusal of a call that nobody known has asked for."""
    return OptionNotAllowed(
        "this call belongs to no request that the proxy has authenticated, so a composite does not answer it"
    )


def no_deployment(call: Mapping[str, Any]) -> OptionNotAllowed:
    """The refusal of a call whose deployment is unknown: without it the operator's limits are, which must not be none."""
    # LiteLLM gives a deployment another id when the client brings an endpoint or a key of its own.
    for key in ("api_key", "api_base", "base_url"):
        if call.get(key) is not None:
            return OptionNotAllowed(f"{key}: a client of the proxy may not set it")
    return OptionNotAllowed("model: this call comes from no deployment of the proxy, so a composite does not answer it")


def _model_id(litellm_params: Any) -> Any:
    """The deployment's id, which the Router writes into every call of its own."""
    info = litellm_params.get("model_info") if isinstance(litellm_params, Mapping) else None
    return info.get("id") if isinstance(info, Mapping) else None


def _options_in(operator: Mapping[str, Any]) -> dict[str, Any]:
    """A deployment's settings without what LiteLLM keeps there for itself."""
    return {key: value for key, value in operator.items() if key in ALL_OPTIONS or key in ("timeout", *CONTAINERS)}
