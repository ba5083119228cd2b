"""What a run would do and cost at most, without any call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from composite_llm.backend.interface import Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.config.plan import Plan
from composite_llm.config.stage_spec import StageSpec
from composite_llm.engine.cost_bounds import WorstCase
from composite_llm.engine.subcall_request import numbered
from composite_llm.model.documented import describe_fields
from composite_llm.run.preflight import close_gate
from composite_llm.strategies import Strategy, strategy_for
from composite_llm.strategies.worst_cases import worst_calls

LatencyClass = Literal["interactive", "deliberate", "long"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra=describe_fields)


class ExplainedNode(_Record):
    """One node of a stage."""

    name: str
    model: str
    fallbacks: list[str] = []
    nested: Explanation | None = None
    """The plan of a node that is a composite itself."""
    worst_prompt_tokens: int
    """Conversation, instructions and other models' answers at their longest, within the model's window."""
    worst_completion_tokens: int
    """The least of `max_tokens`, the model's limit and the node's `context_window`; 4096 where none is known."""
    worst_cost_usd: float | None
    """Of these tokens; None when the price is unknown."""


class ExplainedStage(_Record):
    """Calls that are made at once."""

    stage: str
    role: str
    title: str = ""
    """The stage's heading for people."""
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
    """If every answer were one token long, and no layer that may be avoided were asked; None when a price is unknown."""
    worst_cost_usd: float | None
    """If every answer were as long as its model allows; None when a price is unknown."""
    unpriced: list[str] = []
    """Models without a known price."""
    notes: list[str] = []
    without_deliberation: Explanation | None = None
    """With `deliberate: auto` what a run does and costs whose final model answers by itself; all else here is the other case."""


def explain_plan(plan: Plan, messages: Sequence[Message], facts: ModelFacts) -> Explanation:
    """The plan in numbers.

    Args:
        plan: Checked.
        messages: The conversation it would answer.
        facts: Prices, limits and token counts.
    """
    return explain_strategy(strategy_for(plan, messages), facts)


def explain_strategy(strategy: Strategy[Any], facts: ModelFacts) -> Explanation:
    """The same for a strategy that is made already."""
    close_gate(strategy, facts)
    explained = _explained(strategy, strategy.planned, facts)
    if strategy.gate is not None:
        explained.without_deliberation = _explained(strategy, (strategy.gate,), facts)
    return explained


def _explained(strategy: Strategy[Any], specs: Sequence[StageSpec], facts: ModelFacts) -> Explanation:
    plan = strategy.plan
    asked = [stage for stage in specs if stage.nodes]
    bounds = iter(worst_calls(strategy, facts))
    stages = [
        ExplainedStage(
            stage=stage.name,
            role=stage.role,
            title=stage.heading,
            nodes=[
                _node(strategy, node, name, next(bounds)[1], facts)
                for node, name in zip(stage.nodes, numbered([node.label for node in stage.nodes]), strict=True)
            ],
        )
        for stage in asked
    ]
    rounds = sum(max((node.nested.rounds if node.nested else 1) for node in stage.nodes) for stage in stages)
    unpriced = _unpriced(strategy, facts)
    return Explanation(
        model=plan.logical_model,
        strategy=plan.options.strategy,
        stages=stages,
        calls=sum(node.nested.calls if node.nested else 1 for stage in stages for node in stage.nodes),
        rounds=rounds,
        latency_class="interactive" if rounds == 1 else "deliberate" if rounds <= 3 else "long",
        best_cost_usd=None
        if unpriced
        else sum(_best(strategy, spec, stage, facts) for spec, stage in zip(asked, stages, strict=True)),
        worst_cost_usd=None
        if unpriced
        else sum(node.worst_cost_usd or 0.0 for stage in stages for node in stage.nodes),
        unpriced=unpriced,
        notes=list(strategy.notes),
    )


def _node(strategy: Strategy[Any], node: Node, name: str, worst: WorstCase, facts: ModelFacts) -> ExplainedNode:
    inner = strategy.nested(node) if node.is_composite else None
    priced = (
        not _unpriced(inner, facts) if inner is not None else facts.price(node.model, 1, 1, node.params) is not None
    )
    return ExplainedNode(
        name=name,
        model=node.model,
        fallbacks=[fallback.model for fallback in node.fallbacks],
        nested=explain_strategy(inner, facts) if inner is not None else None,
        worst_prompt_tokens=worst.prompt_tokens,
        worst_completion_tokens=worst.completion_tokens,
        worst_cost_usd=worst.cost_usd if priced else None,
    )


def _unpriced(strategy: Strategy[Any], facts: ModelFacts) -> list[str]:
    return list(
        dict.fromkeys(node.model for _, node in strategy.leaves() if facts.price(node.model, 1, 1, node.params) is None)
    )


def _best(strategy: Strategy[Any], spec: StageSpec, stage: ExplainedStage, facts: ModelFacts) -> float:
    """Of one stage: every prompt as short as the conversation, every answer one token."""
    if spec.avoidable:
        return 0.0
    cost = sum(node.nested.best_cost_usd or 0.0 for node in stage.nodes if node.nested is not None)
    for node in spec.nodes:
        if not node.is_composite:
            prompt_tokens = facts.count_tokens(node.model, strategy.messages)
            cost += facts.price(node.model, prompt_tokens, 1, node.params) or 0.0
    return cost


ExplainedNode.model_rebuild()
Explanation.model_rebuild()
