"""From a stage and its prompts to the subcalls that are made of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from composite_llm.backend.interface import NO_PARAMS, Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.config.parameters import CONNECTION, for_every_call
from composite_llm.config.plan import Plan
from composite_llm.config.stage_spec import StageSpec
from composite_llm.engine.prompt_fitting import Compose
from composite_llm.engine.subcall_request import SubcallRequest


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that holds other models' answers, which may be cut to make it fit.

    Attributes:
        compose: Makes the messages from the answers.
        materials: The answers; none for a prompt that holds none.
    """

    compose: Compose
    materials: tuple[str, ...] = ()

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Prompt:
        """A prompt without answers."""
        return cls(lambda _: list(messages))


def stage_requests(
    plan: Plan,
    facts: ModelFacts,
    stage: StageSpec,
    nodes: Sequence[Node],
    names: Sequence[str],
    prompts: Sequence[Prompt],
    more: Mapping[str, Any] = NO_PARAMS,
) -> list[SubcallRequest]:
    """One subcall per node, each with its own prompt; equal ones are kept from sharing a cached answer.

    Args:
        plan: Of the run.
        facts: What is known of models.
        stage: That they are made in.
        nodes: Who is asked.
        names: What each is called.
        prompts: What each is shown.
        more: Further call parameters of the request.
    """
    inherited = {**for_every_call(plan.params), **more}
    provider = facts.provider(plan.final.model, plan.final.params)
    connection = _connection(plan)
    # What traces call a node makes no difference to a response cache, nor to a seeded sampler.
    repeats = _repeats([node if node.name is None else node.model_copy(update={"name": None}) for node in nodes])
    subcalls = []
    for node, name, prompt, repeat in zip(nodes, names, prompts, repeats, strict=True):
        seed = node.params.get("seed", inherited.get("seed"))
        subcalls.append(
            SubcallRequest(
                stage=stage.name,
                title=stage.heading,
                role=stage.role,
                name=name,
                node=node,
                messages=prompt.compose(prompt.materials),
                materials=prompt.materials,
                compose=prompt.compose,
                params=inherited,
                connection=connection,
                connection_provider=provider,
                unique=repeat > 0,
                # One seed for all samples of a model would make them one sample.
                seed=seed + repeat if isinstance(seed, int) and repeat else None,
            )
        )
    return subcalls


def final_request(plan: Plan, facts: ModelFacts, stage: StageSpec, prompt: Prompt) -> SubcallRequest:
    """The final call, with all of the request's parameters."""
    return SubcallRequest(
        stage=stage.name,
        title=stage.heading,
        role=stage.role,
        name=plan.final.label,
        node=plan.final,
        messages=prompt.compose(prompt.materials),
        materials=prompt.materials,
        compose=prompt.compose,
        params={key: value for key, value in plan.params.items() if key not in CONNECTION},
        connection=_connection(plan),
        connection_provider=facts.provider(plan.final.model, plan.final.params),
        final=True,
    )


def _connection(plan: Plan) -> Mapping[str, Any]:
    return {key: value for key, value in plan.params.items() if key in CONNECTION}


def _repeats(nodes: Sequence[Node]) -> list[int]:
    """For each node, how many equal ones stand before it."""
    # Nodes have no hash: compared with one of each kind, not with all before.
    seen: dict[str, list[tuple[Node, Iterator[int]]]] = {}
    found = []
    for node in nodes:
        alike = seen.setdefault(node.model, [])
        counter = next((counted for first, counted in alike if first is node or first == node), None)
        if counter is None:
            alike.append((node, counter := itertools.count()))
        found.append(next(counter))
    return found
