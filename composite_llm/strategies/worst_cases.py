"""What the stages of a strategy may spend at most, from what they declare."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from composite_llm.backend.interface import ModelFacts
from composite_llm.config.node import Node
from composite_llm.engine.cost_bounds import (
    QUOTE_TOKENS,
    WorstCase,
    longest_answer,
    total_worst_case,
    within_caps,
    worst_call,
)

if TYPE_CHECKING:
    from composite_llm.strategies.base import Strategy

Cast = Mapping[str, tuple[Node, ...]]
"""Who is asked in which stage; nobody in one that is left out."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def cast_of(strategy: Strategy[Any], members: int | None = None, without: Collection[str] = ()) -> Cast:
    """Who is asked when so many members are.

    Args:
        strategy: With its stages.
        members: Of the first stage, and of all that hold the same nodes; None for all, 0 for the final call alone.
        without: Stages that are left out.
    """
    first = strategy.stages[0]
    count = len(first.nodes) if members is None else members
    found: dict[str, tuple[Node, ...]] = {}
    for stage in strategy.all_stages:
        if stage.final:
            # Where no member answers, the final model does, whatever is made of answers.
            found[stage.name] = stage.nodes if count else (strategy.plan.final,)
        elif stage.name in without or not count or count < stage.needs:
            found[stage.name] = ()
        else:
            found[stage.name] = stage.nodes[:count] if stage.option == first.option else stage.nodes
    return found


def worst_calls(
    strategy: Strategy[Any],
    facts: ModelFacts,
    cast: Cast | None = None,
    *,
    added: int = 0,
    read: Mapping[str, int] = _NOTHING,
) -> list[tuple[str, WorstCase]]:
    """What each call of a run may spend at most, if none fails.

    Args:
        strategy: With its stages.
        facts: Prices and limits.
        cast: Who is asked; None for everybody, in the gate too.
        added: Tokens that a run around this one adds to the conversation.
        read: Tokens of the answers of stages that are over, whose calls are left out.

    Returns:
        Stage and bound of each call, in the order of the stages and of their nodes.
    """
    asked = cast_of(strategy) if cast is None else cast
    quoted: dict[str, tuple[int, ...]] = {name: (tokens,) for name, tokens in read.items()}
    found: list[tuple[str, WorstCase]] = []
    if cast is None and strategy.gate is not None:
        gate = _worst_node(strategy, facts, strategy.plan.final, added, strategy.plan.params)
        found.append((strategy.gate.name, gate))
    for stage in strategy.all_stages:
        if stage.name in read:
            continue
        longest = sorted((tokens for earlier in stage.reads for tokens in quoted[earlier]), reverse=True)
        tokens = added + sum(longest[: stage.reads_at_most])
        params = strategy.plan.params if stage.final else _NOTHING
        found += [(stage.name, _worst_node(strategy, facts, node, tokens, params)) for node in asked[stage.name]]
        if not stage.final:
            quoted[stage.name] = _longest_quotes(strategy, facts, asked[stage.name])
    return found


def worst_case(strategy: Strategy[Any], facts: ModelFacts, cast: Cast | None = None, **more: Any) -> WorstCase:
    """The most that a whole run may spend, if no call fails; arguments as for `worst_calls`."""
    return total_worst_case(worst for _, worst in worst_calls(strategy, facts, cast, **more))


def gate_and_final(strategy: Strategy[Any], facts: ModelFacts) -> WorstCase:
    """The most that the gate and a final call without any answers may spend."""
    gate = _worst_node(strategy, facts, strategy.plan.final, 0, strategy.plan.params)
    return gate + worst_case(strategy, facts, cast_of(strategy, 0))


def _worst_node(
    strategy: Strategy[Any], facts: ModelFacts, node: Node, added: int, params: Mapping[str, Any]
) -> WorstCase:
    """The most that one node may spend on the conversation and so many tokens more, with these call parameters."""
    if not node.is_composite:
        return worst_call(facts, node, strategy.question_tokens(facts, node.model) + added, params)
    inner = strategy.nested(node, params)
    return within_caps(worst_case(inner, facts, added=added), inner.options.max_calls, inner.options.max_cost_usd)


def _longest_quotes(strategy: Strategy[Any], facts: ModelFacts, nodes: Sequence[Node]) -> tuple[int, ...]:
    """Tokens of what each node may answer, quoted in a prompt."""
    return tuple(_longest_answer(strategy, facts, node) + QUOTE_TOKENS for node in nodes)


def _longest_answer(strategy: Strategy[Any], facts: ModelFacts, node: Node) -> int:
    """Tokens that a node of the earlier stages may answer."""
    if not node.is_composite:
        return longest_answer(facts, node)
    inner = strategy.nested(node)
    if inner.plan.final.is_composite:
        return _longest_answer(inner, facts, inner.plan.final)
    return longest_answer(facts, inner.plan.final, inner.plan.params)
