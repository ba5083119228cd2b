"""Whatever a client sends, a run has the deployment's options, models and connection, or it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from composite_llm.config.parameters import CONNECTION
from composite_llm.config.plan import Plan, make_plan
from composite_llm.config.profiles import Profiles
from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.model.errors import InvalidOption, OptionNotAllowed
from composite_llm.proxy.client import ProxyClient
from composite_llm.proxy.deployment import CONTAINERS, OwnDeployment, deployment_from
from composite_llm.proxy.litellm_names import CALL_PARAMETERS, ENVELOPE, is_litellms_own, litellms_own
from composite_llm.proxy.policy import FREE, LOWER_ONLY, UP_TO, check_closed, is_closed
from composite_llm.proxy.request import ProxyRequest
from composite_llm.proxy.share import clients_share, restored

ELSEWHERE = "http://elsewhere.example/v1"
NODE = {"model": "openai/gpt-4o", "api_base": ELSEWHERE, "api_key": "os.environ/PATH"}
OPERATORS: Mapping[str, Mapping[str, Any]] = {
    "composite/moa/large": {
        "proposers": ["small", {"model": "medium", "temperature": 0.5}],
        "max_calls": 9,
        "max_cost_usd": 0.5,
        "timeout": 20,
        "layers": 2,
        "reasoning": "summary",
        "api_base": "http://operators.example/v1",
        "api_key": "sk-of-the-operator",
        "aws_region_name": "eu-north-1",
        "safety": "strict",
        "temperature": 0.2,
        "num_retries": 0,
        "extra_body": {"guard": True, "quorum": 1},
    },
    "composite/council/large": {
        "members": ["small", "medium"],
        "criteria": "Be brief.",
        "optional_params": {"max_calls": 20, "ranking": "copeland", "reasoning": "off"},
    },
    "composite/moa/small": {},
}
NAMES = st.sampled_from(
    sorted(litellms_own() | ALL_OPTIONS | CALL_PARAMETERS | CONNECTION | {"safety", "guard", "top_k"})
)
_PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-3, 200)
    | st.floats(allow_nan=True)
    | st.sampled_from(["", "off", "full", "secret", ELSEWHERE, "os.environ/PATH", "always", "best"])
)
VALUES = st.recursive(
    _PLAIN | st.just(NODE) | st.just([NODE]) | st.just(["secret"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)
SENT = st.dictionaries(NAMES, VALUES, max_size=5)
CONTAINED = st.fixed_dictionaries({}, optional=dict.fromkeys(CONTAINERS, SENT | _PLAIN))


def _own(model: str) -> OwnDeployment:
    row = {"model_name": "x", "litellm_params": {"model": model, **OPERATORS[model]}, "model_info": {"id": "1"}}
    found = deployment_from(row, {})
    assert found is not None
    return found


def _as_called(own: OwnDeployment, sent: Mapping[str, Any]) -> dict[str, Any]:
    """What LiteLLM's Router makes of them: whatever is sent goes over the deployment's own."""
    return {**own.params, **sent}


def _client(own: OwnDeployment, call: Mapping[str, Any], sent: Mapping[str, Any]) -> ProxyClient:
    request = ProxyRequest(sent=sent)
    judged = {key: value for key, value in call.items() if key not in CONNECTION}
    share = tuple(clients_share(judged, own, request.names))
    return ProxyClient(own.model.removeprefix("composite/"), request, own, judged, share)


def _allowed(option: str, ours: Any, operators: Any, stated: bool) -> bool:
    if option in FREE or ours == operators:
        return True
    if option in UP_TO:
        return not stated or UP_TO[option].index(ours) <= UP_TO[option].index(operators)
    return option in LOWER_ONLY and ours is not None and (operators is None or ours <= operators)


def _plan_of(own: OwnDeployment, client: ProxyClient) -> Plan:
    client.check_options(client.limits(own.model, Profiles()))
    return make_plan(own.model, client.merged(), Profiles())


@settings(max_examples=1500, deadline=None)
@given(model=st.sampled_from(sorted(OPERATORS)), sent=SENT, contained=CONTAINED, told=st.booleans())
def test_no_option_outside_the_policy_ever_differs_from_the_deployments(
    model: str, sent: dict[str, Any], contained: dict[str, Any], told: bool
) -> None:
    own = _own(model)
    words = {**sent, **contained}
    words.pop("model", None)
    call = _as_called(own, words)
    call.pop("model")
    try:
        # As from a body, or as from a fallback's entry, which LiteLLM's hooks are not shown.
        plan = _plan_of(own, _client(own, call, words if told else {}))
    except (InvalidOption, OptionNotAllowed):
        return
    event("a run")
    operators = make_plan(model, {key: value for key, value in own.params.items() if key != "model"}, Profiles())
    for option in type(plan.options).model_fields:
        stated = option in operators.options.model_fields_set
        assert _allowed(option, getattr(plan.options, option), getattr(operators.options, option), stated), option
    assert plan.final == operators.final
    assert plan.timeout_s is None or operators.timeout_s is None or plan.timeout_s <= operators.timeout_s
    assert {key: value for key, value in plan.params.items() if key in CONNECTION} == {
        key: value for key, value in operators.params.items() if key in CONNECTION
    }
    for key, value in plan.params.items():
        if key not in CALL_PARAMETERS and key not in CONTAINERS:
            assert value == own.params[key] if key in own.params else not (is_litellms_own(key) or is_closed(key)), key
    assert ELSEWHERE not in str({key: plan.params[key] for key in plan.params if key in CONNECTION})
    body = plan.params.get("extra_body", {})
    assert not [key for key in body if key in CALL_PARAMETERS or is_closed(key)]
    assert body.get("guard", True) is True


@settings(max_examples=400, deadline=None)
@given(model=st.sampled_from(sorted(OPERATORS)), sent=SENT, contained=CONTAINED)
def test_no_name_of_litellms_own_ever_differs_from_the_deployments_in_a_call(
    model: str, sent: dict[str, Any], contained: dict[str, Any]
) -> None:
    own = _own(model)
    call = {**_as_called(own, {**sent, **contained}), "model": model}
    try:
        check_closed((given.key, given.value) for given in clients_share(call, own, ()) if given.key not in ENVELOPE)
    except (InvalidOption, OptionNotAllowed):
        assume(False)
    made = restored(call, own, ENVELOPE)
    for key in litellms_own() - ENVELOPE:
        if not key.startswith("_"):
            assert made.get(key) == own.params.get(key), key
    for key, value in own.params.items():
        if key in CONNECTION or (key not in CALL_PARAMETERS | ALL_OPTIONS | ENVELOPE and key not in CONTAINERS):
            assert made[key] == value
        elif key not in ENVELOPE:
            assert made[key] is not None
