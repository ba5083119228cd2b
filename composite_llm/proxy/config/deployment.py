"""What is wrong with one composite of a proxy's `model_list`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from composite_llm.backend import compat
from composite_llm.backend.litellm_prices import RATES, rate_of
from composite_llm.config.node import NODE_KEYS
from composite_llm.config.parameters import PROFILE_PARAMETERS
from composite_llm.config.plan import make_plan, misspelt_option, strategy_of
from composite_llm.config.problems import Problem, option_errors
from composite_llm.config.profiles import Profiles
from composite_llm.config.registry import ALL_OPTIONS, STRATEGIES
from composite_llm.model.errors import CompositeError, InvalidOption
from composite_llm.model.near_misses import near_miss, nearest
from composite_llm.proxy.config.file import Listed, Setting, variable_in
from composite_llm.proxy.config.nodes import Written
from composite_llm.proxy.policy import NEVER

_HOLDERS = ("optional_params", "extra_body")
_OF_PROVIDERS = frozenset(
    {
        "top_k", "top_a", "min_p", "repetition_penalty", "length_penalty", "typical_p", "best_of", "num_ctx",
        "keep_alive", "safe_prompt", "chat_template_kwargs", "guided_json", "guided_regex", "guided_choice", "route",
        "provider", "plugins", "transforms", "cache_control", "anthropic_version", "betas", "safety_settings",
        "aws_region_name", "vertex_project", "vertex_location", "organization",
    }
)  # fmt: skip
"""Widely known parameters that are of no use to LiteLLM itself."""


def option_problems(entry: Listed, profiles: Profiles, environment: Mapping[str, str]) -> Iterator[Problem]:
    """Everything that would make a request for it fail, and each option that nobody would read."""
    model = entry.params.inside("model", value=entry.model)
    wildcard = "*" in entry.model
    try:
        strategy = None if wildcard else strategy_of(entry.model, profiles)
    except CompositeError as error:
        yield model.problem(_with_key(error, "model"))
        return
    missing = list(missing_variables(entry.params, environment))
    problems = [
        problem for key, value in _options(entry) for problem in _key_problems(key, value, strategy, environment)
    ]
    yield from missing
    yield from problems
    if problems or wildcard:
        return
    try:
        make_plan(entry.model, _known(_given(entry.params.value), environment), profiles)
    except CompositeError as error:
        key = error.key if isinstance(error, InvalidOption) else "model"
        yield _placed(entry, key).problem(_with_key(error, "model"))


def _with_key(error: CompositeError, key: str) -> str:
    named = isinstance(error, InvalidOption) or error.message.startswith(f"{key}: ")
    return error.message if named else f"{key}: {error.message}"


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is given of a deployment's settings."""
    return {key: value for key, value in params.items() if key in ALL_OPTIONS or key in ("timeout", *_HOLDERS)}


def _placed(entry: Listed, key: str) -> Setting:
    """Where a key stands, in whichever of its places."""
    path = key.split(".")
    for holder in _HOLDERS:
        inside = entry.params.value.get(holder)
        if isinstance(inside, Mapping) and path[0] in inside:
            return entry.params.inside(holder, *path)
    return entry.params.inside(*path)


def _options(entry: Listed) -> Iterator[tuple[Setting, Any]]:
    for key, value in entry.params.value.items():
        if key not in _HOLDERS:
            yield entry.params.inside(str(key), value=value), value
        elif isinstance(value, Mapping):
            for inner, inner_value in value.items():
                yield entry.params.inside(key, str(inner), value=inner_value), inner_value


def _key_problems(
    place: Setting, value: Any, strategy: str | None, environment: Mapping[str, str]
) -> Iterator[Problem]:
    key = place.path[-1]
    known = STRATEGIES[strategy].model_fields if strategy is not None else ALL_OPTIONS
    if key in known:
        if strategy is not None and value is not None and _known({key: value}, environment):
            for error in option_errors(STRATEGIES[strategy], key, _known({key: value}, environment)[key]):
                inside = error.key.split(".")[1:]
                yield place.inside(*inside).problem(error.message)
        return
    if key in ALL_OPTIONS:
        owner = next(name for name, options in STRATEGIES.items() if key in options.model_fields)
        yield place.problem(f"{key}: is an option of {owner}, not of {strategy}")
    elif not _is_parameter(key):
        yield from _unknown(place, key, known)


def node_key_problems(node: Written, environment: Mapping[str, str]) -> Iterator[Problem]:
    """Keys of a node that nobody would read, and prices that are none."""
    for key in RATES:
        price = _read(node.params.get(key), environment)
        if price is not None and price is not _UNSET and rate_of(price) is None:
            given = f"got {price:g}" if isinstance(price, int | float) else "is not a number"
            yield node.place.problem(f"{node.key}.{key}: {given}; allowed: US dollars of 0 or more")
    known = NODE_KEYS | PROFILE_PARAMETERS | ALL_OPTIONS
    for key in node.params:
        if str(key) in known or _is_parameter(str(key)):
            continue
        # A key near one of a node's own settings is told with the options.
        meant = None if near_miss(str(key), NODE_KEYS) else near_miss(str(key), PROFILE_PARAMETERS)
        if meant is not None:
            yield node.place.problem(f"{node.key}.{key}: unknown key; did you mean '{meant}'?")


def _is_parameter(key: str) -> bool:
    return key in PROFILE_PARAMETERS or key in _OF_PROVIDERS or key in _litellms()


def _unknown(place: Setting, key: str, known: Iterable[str]) -> Iterator[Problem]:
    meant = misspelt_option(key) or near_miss(key, PROFILE_PARAMETERS)
    if meant is not None:
        yield place.problem(f"{key}: unknown option; did you mean '{meant}'?")
    elif "extra_body" not in place.path:
        near = ", ".join(nearest(key, known))
        yield place.problem(
            f"{key}: unknown option; allowed: options (nearest: {near}) and LiteLLM's parameters; "
            "a provider's own parameters go into extra_body"
        )


def _litellms() -> frozenset[str]:
    """The parameters that LiteLLM takes for itself, and those of OpenAI's API."""
    fields = (getattr(deployment.get(), "model_fields", ()) for deployment in compat.DEPLOYMENT_NAMES)
    return frozenset().union(compat.OPENAI_NAMES.get() or (), compat.CALL_NAMES.get() or (), *fields)


def missing_variables(place: Setting, environment: Mapping[str, str], key: str = "") -> Iterator[Problem]:
    """Environment variables that are named below and not set."""
    value = place.value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for inner, inner_value in items:
        path = f"{key}.{inner}" if key else str(inner)
        yield from missing_variables(place.inside(str(inner), value=inner_value), environment, path)
    variable = variable_in(value)
    if variable is not None and variable not in environment:
        yield place.problem(
            f"{key}: the environment has no variable {variable!r}; allowed: os.environ/NAME of a set one"
        )


def _known(params: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The parameters with their variables read; without those whose variable is not set, which is told by itself."""
    kept = {}
    for key, value in params.items():
        known = _read(value, environment)
        if known is not _UNSET:
            kept[key] = known
    return kept


def _read(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return _known(value, environment)
    if isinstance(value, list):
        return [known for item in value if (known := _read(item, environment)) is not _UNSET]
    variable = variable_in(value)
    return value if variable is None else environment.get(variable, _UNSET)


_UNSET: Any = object()


def policy_problems(entry: Listed, profiles: Profiles) -> Iterator[Problem]:
    """What is wrong with what its operator allows clients."""
    policy = entry.info.value.get("composite")
    place = entry.info.inside("composite", value=policy)
    if policy is None:
        return
    if not isinstance(policy, Mapping):
        yield place.problem("model_info.composite: is not a mapping; allowed: client_may_set")
        return
    for key in policy:
        if key != "client_may_set":
            yield place.inside(str(key)).problem(f"model_info.composite.{key}: unknown key; allowed: client_may_set")
    allowed = policy.get("client_may_set")
    if allowed is None:
        return
    names = [allowed] if isinstance(allowed, str) else allowed
    place = place.inside("client_may_set")
    if not isinstance(names, list):
        yield place.problem("model_info.composite.client_may_set: is not a list; allowed: names of options")
        return
    for index, name in enumerate(names):
        problem = _name_problem(name, entry, profiles)
        if problem:
            key = f"model_info.composite.client_may_set.{index}"
            yield place.inside(str(index)).problem(f"{key}: {problem}")


def _name_problem(name: Any, entry: Listed, profiles: Profiles) -> str | None:
    known = _options_of(entry, profiles)
    if name in NEVER:
        return f"{name!r} is never a client's to set; allowed: {', '.join(sorted(known - NEVER))}"
    if name in known or name == "timeout":
        return None
    if name in ALL_OPTIONS:
        return f"{name!r} is not an option of this composite; nearest: {', '.join(nearest(name, known - NEVER))}"
    return f"{name!r} is not an option; nearest: {', '.join(nearest(str(name), ALL_OPTIONS - NEVER))}"


def _options_of(entry: Listed, profiles: Profiles) -> frozenset[str]:
    try:
        strategy = strategy_of(entry.model, profiles) if "*" not in entry.model else None
    except CompositeError:
        strategy = None
    return STRATEGIES.option_names() if strategy is None else frozenset(STRATEGIES[strategy].model_fields)
