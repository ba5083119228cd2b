"""From a model string and what came with it to a checked plan of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from composite_llm.config.checking import checked
from composite_llm.config.node import Node, NodeSettings, resolved_params
from composite_llm.config.numbers import check_numbers, seconds_of
from composite_llm.config.options import Options
from composite_llm.config.parameters import CONNECTION, PROFILE_PARAMETERS, present
from composite_llm.config.problems import check_all_nodes
from composite_llm.config.profiles import Profiles
from composite_llm.config.registry import ALL_OPTIONS, STRATEGIES, nodes_in
from composite_llm.config.stage_spec import StageSpec
from composite_llm.model.errors import InvalidOption, UnknownStrategy
from composite_llm.model.model_strings import PROFILE_PREFIX, split_composite
from composite_llm.model.near_misses import near_miss, nearest
from composite_llm.model.personas import persona_text

MAX_DEPTH = 3
"""How deep composites may nest, the outermost counted."""


def _forms() -> str:
    return ", ".join(f"composite/{name}/<model>" for name in STRATEGIES) + " or composite/profile/<name>"


@dataclass(frozen=True, slots=True)
class Plan:
    """One checked run-to-be.

    Attributes:
        logical_model: The composite model string the caller used.
        options: The strategy's options.
        final: The node that writes the answer.
        params: LiteLLM call parameters of the request and its profile, by LiteLLM's names.
        timeout_s: The limit of the whole run, if the profile or a nested node set one.
        profiles: What its nested composites may name.
    """

    logical_model: str
    options: Options
    final: Node
    params: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float | None = None
    profiles: Profiles = field(default_factory=Profiles)


def make_plan(model: str, given: Mapping[str, Any], profiles: Profiles, *, ancestors: tuple[str, ...] = ()) -> Plan:
    """The plan for `model`, with `given` options and call parameters in one mapping, checked down to its nested composites.

    Args:
        model: A composite model string, prefix included.
        given: Keyword arguments as they reached the provider.
        profiles: What `composite/profile/<name>` may name.
        ancestors: The composite model strings this one is nested in.

    Raises:
        InvalidOption: for an unusable value, a misspelt option, too deep a nesting or a cycle.
        UnknownStrategy: The model string names none.
        UnknownProfile: The model string names none.
    """
    if model in ancestors and model.startswith(PROFILE_PREFIX):
        raise InvalidOption("model", f"{model!r} contains itself: {' > '.join((*ancestors, model))}", value=model)
    if len(ancestors) >= MAX_DEPTH:
        raise InvalidOption("model", f"{model!r} is nested too deep", allowed=f"{MAX_DEPTH} levels", value=model)
    flat = _flattened(given)
    strategy, final_model, base, parameters = _parsed(model, profiles)
    options_type = STRATEGIES[strategy]
    _check_option_names(flat, strategy, options_type)
    options = checked(options_type, {**base, **{key: flat[key] for key in flat if key in options_type.model_fields}})
    options.check_together()
    check_all_nodes(options)
    params = {**parameters, **{key: value for key, value in flat.items() if key not in options_type.model_fields}}
    if options.seed is not None:
        params["seed"] = options.seed
    timeout = params.pop("timeout", None)
    timeout_s = None if timeout is None else seconds_of(timeout)
    check_numbers(params)
    plan = Plan(
        logical_model=model,
        options=options,
        final=_final_node(options, final_model),
        params=_with_connection_read(present(params)),
        timeout_s=timeout_s,
        profiles=profiles,
    )
    stages = STRATEGIES.strategy_type(strategy)(plan, options, ()).stages
    _check_quorum(plan, stages)
    _check_analysis(plan, stages)
    _check_aggregation(plan)
    for node in nodes_of(plan):
        if node.system:
            persona_text(node.system)
        if node.is_composite:
            make_plan(node.model, nested_options(node), profiles, ancestors=(*ancestors, model))
    return plan


def _with_connection_read(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters, with `os.environ/NAME` of endpoint and key read now."""
    return {**params, **resolved_params({key: value for key, value in params.items() if key in CONNECTION})}


def nested_options(node: Node) -> dict[str, Any]:
    """What a node that is a composite passes on to it."""
    return node.params


def nodes_of(plan: Plan) -> Iterator[Node]:
    """Every node a plan may ask, fallbacks included."""
    yield from _with_fallbacks(plan.final)
    for key in type(plan.options).model_fields:
        if key != plan.options.final_role:
            for node in nodes_in(getattr(plan.options, key)):
                yield from _with_fallbacks(node)


def _with_fallbacks(node: Node) -> Iterator[Node]:
    yield node
    for fallback in node.fallbacks:
        yield from _with_fallbacks(fallback)


def _flattened(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options from their three places: a deployment's `optional_params`, keywords, and a framework's `extra_body`."""
    flat = {key: value for key, value in given.items() if value is not None}
    nested = flat.pop("optional_params", None)
    if nested is not None and not isinstance(nested, Mapping):
        raise InvalidOption("optional_params", "is not a mapping", allowed="a mapping of options", value=nested)
    if any(not isinstance(key, str) for key in nested or ()):
        raise InvalidOption("optional_params", "has a key that is not a string", allowed="names of options")
    body = flat.pop("extra_body", None)
    taken: dict[str, Any] = {}
    if isinstance(body, Mapping):
        # What is not ours stays where the caller put it: it is meant for the final model's provider.
        taken = {key: value for key, value in body.items() if key in ALL_OPTIONS or misspelt_option(key)}
        rest = {key: value for key, value in body.items() if key not in taken}
        if rest:
            flat["extra_body"] = rest
    elif body is not None:
        flat["extra_body"] = body
    merged = {**(nested or {}), **flat, **{key: value for key, value in taken.items() if value is not None}}
    return {key: value for key, value in merged.items() if value is not None}


# Remembered: programs send the same few unknown parameters with every call.
@lru_cache(maxsize=1024)
def misspelt_option(key: object) -> str | None:
    """The option that a key is most likely a misspelling of; None for one that is known, or far from all."""
    known = not isinstance(key, str) or key in ALL_OPTIONS or key in PROFILE_PARAMETERS
    return None if known else near_miss(str(key), STRATEGIES.option_names() - _EVERYBODYS)


# `seed` is everybody's parameter, and short enough that an honest provider parameter (`speed`) resembles it.
_EVERYBODYS = frozenset({"seed"})


def strategy_of(model: str, profiles: Profiles) -> str:
    """The strategy of a composite model string.

    Raises:
        UnknownStrategy, UnknownProfile, InvalidOption: It names none.
    """
    return _parsed(model, profiles)[0]


def _parsed(model: str, profiles: Profiles) -> tuple[str, str | None, Mapping[str, Any], Mapping[str, Any]]:
    kind, rest = split_composite(model)
    if kind == "profile" and rest:
        profile = profiles.find(rest)
        return profile.strategy, profile.model, profile.options, profile.parameters
    if kind not in (*STRATEGIES, "profile"):
        near = ", ".join(repr(name) for name in nearest(kind, (*STRATEGIES, "profile"), most=2))
        raise UnknownStrategy(f"model: {model!r} names no strategy; nearest: {near}; allowed: {_forms()}")
    if not rest.strip("/ "):
        raise InvalidOption("model", f"{model!r} has nothing after the strategy", allowed=_forms(), value=model)
    return kind, rest, {}, {}


def _check_option_names(flat: Mapping[str, Any], strategy: str, options_type: type[Options]) -> None:
    for key in flat:
        if key in options_type.model_fields:
            continue
        if key in ALL_OPTIONS:
            owner = next(name for name, options in STRATEGIES.items() if key in options.model_fields)
            raise InvalidOption(key, f"is an option of {owner}, not of {strategy}", value=key)
        meant = misspelt_option(key)
        if meant is not None:
            raise InvalidOption(key, f"unknown option; did you mean '{meant}'?", value=key)


def _final_node(options: Options, model: str | None) -> Node:
    settings: NodeSettings | None = getattr(options, options.final_role)
    chosen = (settings.model if settings is not None else None) or model
    if chosen is None:
        raise InvalidOption(
            options.final_role, "the profile names no final model", allowed=f"'model' or '{options.final_role}.model'"
        )
    if settings is None:
        return Node(model=chosen)
    return Node.model_validate({**settings.model_dump(exclude_unset=True), "model": chosen})


def _check_aggregation(plan: Plan) -> None:
    """A member's answer as it is calls no tools, and is one."""
    options, params = plan.options, plan.params
    if options.aggregation == "synthesize" or options.deliberate == "never":
        return
    several = isinstance(params.get("n"), int) and params["n"] > 1
    given = [key for key in ("tools", "functions") if params.get(key)] + (["n"] if several else [])
    if given:
        raise InvalidOption(
            "aggregation",
            f"got {options.aggregation!r} in a request with {given[0]}, which only a final model can answer",
            allowed="synthesize",
            value=options.aggregation,
        )


def _check_analysis(plan: Plan, stages: Sequence[StageSpec]) -> None:
    """One answer alone agrees with itself."""
    *earlier, final = stages
    answers = sum(len(stage.nodes) for stage in earlier if stage.name in final.reads and not stage.optional)
    if plan.options.analysis is not False and earlier and answers < 2:
        # Not its value, which may hold a key.
        problem = f"compares answers, of which the final model is given {answers}"
        raise InvalidOption("analysis", problem, allowed="beside two answers or more")


def _check_quorum(plan: Plan, stages: Sequence[StageSpec]) -> None:
    options = plan.options
    for stage in stages:
        # What may be left out is not waited for either.
        if stage.final or stage.optional:
            continue
        size = len(stage.nodes)
        if options.quorum > size:
            who = stage.option or f"nodes of {stage.name}"
            allowed = f"at most the {size} {who}"
            raise InvalidOption("quorum", f"got {options.quorum}", allowed=allowed, value=options.quorum)
