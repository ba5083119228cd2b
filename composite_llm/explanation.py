"""What a run would do and cost at most, without any call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from composite_llm.backend.interface import Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.config.plan import Plan, make_plan, nested_options
from composite_llm.config.profiles import Profiles
from composite_llm.engine.afford import Worst
from composite_llm.engine.want import numbered
from composite_llm.strategies import Strategy, strategy_for
from composite_llm.strategies.council import Council
from composite_llm.strategies.moa import MixtureOfAgents

LatencyClass = Literal["interactive", "deliberate", "long"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ExplainedNode(_Record):
    """One node of a stage."""

    name: str
    model: str
    fallbacks: list[str] = []
    nested: Explanation | None = None
    """The plan of a node that is a composite itself."""


class ExplainedStage(_Record):
    """Calls that are made at once."""

    stage: str
    role: str
    nodes: list[ExplainedNode]


class Explanation(_Record):
    """The plan of a run."""

    model: str
    strategy: str
    stages: list[ExplainedStage]
    calls: int
    """Attempts, if none fails and no tool is run; those of nested composites counted."""
    rounds: int
    """Calls that have to wait for one another."""
    latency_class: LatencyClass
    """By rounds: `interactive` for 1, `deliberate` up to 3, `long` beyond."""
    best_cost_usd: float | None
    """If every answer were one token long; None when a price is unknown."""
    worst_cost_usd: float | None
    """If every answer were as long as its model allows; None when a price is unknown."""
    unpriced: list[str] = []
    """Models without a known price."""
    notes: list[str] = []


def explain_plan(plan: Plan, messages: Sequence[Message], facts: ModelFacts, profiles: Profiles) -> Explanation:
    """The plan in numbers.

    Args:
        plan: Checked.
        messages: The conversation it would answer.
        facts: Prices, limits and token counts.
        profiles: For nested composites.
    """
    strategy = strategy_for(plan, messages)
    stages = [
        ExplainedStage(
            stage=stage,
            role=role,
            nodes=[
                _node(node, name, messages, facts, profiles)
                for node, name in zip(nodes, numbered([node.label for node in nodes]), strict=True)
            ],
        )
        for stage, role, nodes in _stages(strategy)
    ]
    nested = [node.nested for stage in stages for node in stage.nodes if node.nested is not None]
    rounds = sum(max((node.nested.rounds if node.nested else 1) for node in stage.nodes) for stage in stages)
    worst = strategy.worst_case(facts, len(strategy.deliberating))
    unpriced = _unpriced(strategy, facts) + [model for inner in nested for model in inner.unpriced]
    return Explanation(
        model=plan.logical_model,
        strategy=plan.options.strategy,
        stages=stages,
        calls=sum(node.nested.calls if node.nested else 1 for stage in stages for node in stage.nodes),
        rounds=rounds,
        latency_class="interactive" if rounds == 1 else "deliberate" if rounds <= 3 else "long",
        best_cost_usd=None if unpriced else _with_nested(_best(strategy, facts), [n.best_cost_usd for n in nested]),
        worst_cost_usd=None if unpriced else _with_nested(worst, [n.worst_cost_usd for n in nested]),
        unpriced=list(dict.fromkeys(unpriced)),
        notes=list(strategy.notes),
    )


def _stages(strategy: Strategy[Any]) -> list[tuple[str, str, Sequence[Node]]]:
    final = (strategy.final_stage, strategy.options.final_role, [strategy.plan.final])
    if isinstance(strategy, MixtureOfAgents):
        layers = range(strategy.options.layers)
        names = ["propose" if layer == 0 else f"propose-{layer + 1}" for layer in layers]
        return [*((name, "proposer", strategy.proposers) for name in names), final]
    if isinstance(strategy, Council):
        return [("answer", "member", strategy.members), ("review", "reviewer", strategy.reviewers), final]
    return [final]


def _node(node: Node, name: str, messages: Sequence[Message], facts: ModelFacts, profiles: Profiles) -> ExplainedNode:
    nested = None
    if node.is_composite:
        nested = explain_plan(make_plan(node.model, nested_options(node), profiles), messages, facts, profiles)
    return ExplainedNode(
        name=name, model=node.model, fallbacks=[fallback.model for fallback in node.fallbacks], nested=nested
    )


def _unpriced(strategy: Strategy[Any], facts: ModelFacts) -> list[str]:
    nodes = [node for node in strategy.all_nodes() if not node.is_composite]
    return list(dict.fromkeys(node.model for node in nodes if facts.price(node.model, 1, 1) is None))


def _with_nested(own: Worst, nested: Sequence[float | None]) -> float | None:
    known = [cost for cost in nested if cost is not None]
    return None if len(known) < len(nested) else own.cost_usd + sum(known)


def _best(strategy: Strategy[Any], facts: ModelFacts) -> Worst:
    """Every prompt as short as the conversation, every answer one token."""
    cost = 0.0
    for _, _, nodes in _stages(strategy):
        for node in nodes:
            if not node.is_composite:
                cost += facts.price(node.model, facts.count_tokens(node.model, strategy.messages), 1) or 0.0
    return Worst(0, cost)


ExplainedNode.model_rebuild()
