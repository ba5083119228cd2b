"""Who is compared: a composite, what it is made of, and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from composite_llm.config.node import resolved_params
from composite_llm.config.parameters import CONNECTION
from composite_llm.config.plan import Plan, make_plan
from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.evaluate.asking import provider_of
from composite_llm.model.errors import InvalidOption
from composite_llm.model.model_strings import COMPOSITE_PREFIX, is_composite_model, profile_model
from composite_llm.model.near_misses import nearest
from composite_llm.model.personas import persona_text
from composite_llm.run.explanation import ExplainedNode
from composite_llm.runtime import explain, services

SOLO, MEMBERS, MAJORITY = "solo", "members", "majority"
FROM_THE_SUBJECT = (MEMBERS, MAJORITY)
"""Read out of the traces of the subject's own runs: nobody is asked for them."""
_ONCE_PER_USER_TURN = {"fanout": "every_call"}
"""A question that is asked again must be answered again."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who is asked.

    Attributes:
        name: In the report.
        model: A model string, composite or not.
        options: Options and call parameters.
        system: A persona that comes before the question's own system prompt.
        worst_usd: What one question may cost; None where a price is unknown.
        calls: Calls for one question, if none fails.
    """

    name: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    worst_usd: float | None = None
    calls: int = 1


def subject(model: str, options: Mapping[str, Any], longest: Sequence[Mapping[str, Any]]) -> Contestant:
    """The composite that it is all about.

    Args:
        model: A composite model string.
        options: Options and call parameters.
        longest: The longest of the conversations, for the price.

    Raises:
        CompositeError: It cannot be asked.
    """
    if not is_composite_model(model):
        allowed = "composite/moa/…, composite/council/… or composite/profile/…"
        raise InvalidOption("model", f"{model!r} is no composite", allowed=allowed, value=model)
    whole = {**options, **_ONCE_PER_USER_TURN}
    plan = explain(model, list(longest), **whole)
    return Contestant(model.removeprefix(COMPOSITE_PREFIX), model, whole, None, plan.worst_cost_usd, plan.calls)


def others(
    against: Sequence[str], of: Contestant, longest: Sequence[Mapping[str, Any]]
) -> tuple[list[Contestant], list[str]]:
    """Who else is asked, and which of `FROM_THE_SUBJECT` are wanted.

    Args:
        against: `solo`, `members`, `majority`, names of profiles, and model strings.
        of: The subject.
        longest: As for `subject`.

    Raises:
        CompositeError: One of them cannot be asked, or is unknown.
    """
    profiles = services().profiles
    plan = make_plan(of.model, of.options, profiles)
    asked: list[Contestant] = []
    for name in dict.fromkeys(against):
        if name in FROM_THE_SUBJECT:
            continue
        if name == SOLO:
            asked.append(_solo(of, plan, longest))
        elif name in profiles.by_name:
            asked.append(_composite(name, profile_model(name), _parameters(plan, name), longest))
        elif is_composite_model(name):
            asked.append(_composite(name.removeprefix(COMPOSITE_PREFIX), name, _parameters(plan, name), longest))
        elif "/" in name:
            asked.append(_plain(name, name, _parameters(plan, name), longest))
        else:
            known = (SOLO, MEMBERS, MAJORITY, *profiles.by_name)
            near = ", ".join(repr(one) for one in nearest(name, known))
            allowed = "solo, members, majority, a profile or a model string"
            raise InvalidOption("against", f"{name!r} is unknown; nearest: {near}", allowed=allowed, value=name)
    return asked, [name for name in FROM_THE_SUBJECT if name in against]


def _solo(of: Contestant, plan: Plan, longest: Sequence[Mapping[str, Any]]) -> Contestant:
    """The final model by itself, with its persona and its parameters."""
    final = plan.final
    params = {**plan.params, **resolved_params(final.params)}
    timeout = final.timeout or plan.timeout_s
    if timeout is not None:
        params["timeout"] = timeout
    if final.is_composite:
        return _composite(SOLO, final.model, final.params, longest)
    worst = worst_of_plain(final.model, longest, params)
    return Contestant(SOLO, final.model, params, persona_text(final.system) if final.system else None, worst)


def _composite(name: str, model: str, options: Mapping[str, Any], longest: Sequence[Mapping[str, Any]]) -> Contestant:
    whole = {**options, **_ONCE_PER_USER_TURN}
    plan = explain(model, list(longest), **whole)
    return Contestant(name, model, whole, None, plan.worst_cost_usd, plan.calls)


def _plain(name: str, model: str, options: Mapping[str, Any], longest: Sequence[Mapping[str, Any]]) -> Contestant:
    return Contestant(name, model, options, None, worst_of_plain(model, longest, options))


def worst_of_plain(model: str, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> float | None:
    """What a model asked by itself costs if its answers are as long as they may be; None when its price is unknown.

    It is the price of a proposer, who sees the conversation and nothing else.
    """
    limits = {key: options[key] for key in ("max_tokens", "max_completion_tokens") if key in options}
    plan = explain(f"{COMPOSITE_PREFIX}moa/{model}", list(messages), proposers=[{"model": model, **limits}])
    worst = plan.stages[0].nodes[0].worst_cost_usd
    return None if worst is None else worst * int(options.get("n") or 1)


def plain(model: str, of: Contestant, longest: Sequence[Mapping[str, Any]]) -> Contestant:
    """A model that is asked with the subject's connection where it has the same provider: a judge.

    Args:
        model: A model string.
        of: The subject.
        longest: As for `subject`.
    """
    plan = make_plan(of.model, of.options, services().profiles)
    options = {key: value for key, value in _parameters(plan, model).items() if key in CONNECTION}
    if is_composite_model(model):
        return _composite(model, model, options, longest)
    return _plain(model, model, options, longest)


def models_of(contestant: Contestant, *, first_stage: bool = False) -> list[str]:
    """The models behind a contestant, those of nested composites included.

    Args:
        contestant: Plain or composite.
        first_stage: Only who is asked first, one entry for each.
    """
    if not is_composite_model(contestant.model):
        return [contestant.model]
    stages = explain(contestant.model, **contestant.options).stages
    if first_stage:
        return [node.model for node in stages[0].nodes] if len(stages) > 1 else []
    return [model for stage in stages for node in stage.nodes for model in _models_below(node)]


def _models_below(node: ExplainedNode) -> list[str]:
    if node.nested is None:
        return [node.model]
    return [model for stage in node.nested.stages for inner in stage.nodes for model in _models_below(inner)]


def _parameters(plan: Plan, model: str) -> dict[str, Any]:
    """The call parameters of the subject; its endpoint and key for models of the same provider alone."""
    given = {key: value for key, value in plan.params.items() if key not in ALL_OPTIONS}
    if is_composite_model(model) or "/" not in model or provider_of(model) == provider_of(plan.final.model):
        return given
    return {key: value for key, value in given.items() if key not in CONNECTION}
