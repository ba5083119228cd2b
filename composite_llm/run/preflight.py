"""What is refused before money is spent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from composite_llm.backend.interface import NO_PARAMS, Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.engine.prompt_fitting import fits, window_of
from composite_llm.engine.subcall_request import chain
from composite_llm.model.errors import ContextWindowExceeded, FinalCallFailed, InvalidOption, NodeFailure, key_missing
from composite_llm.model.messages import modalities_in, present_question, text_of
from composite_llm.run.spending_limits import PERIODS
from composite_llm.strategies import Strategy

_log = logging.getLogger("composite_llm")

MONEY_CAPS = ("max_cost_usd", *PERIODS)


def close_gate(strategy: Strategy[Any], facts: ModelFacts) -> None:
    """Have a final model that is known to take no tools deliberate always, and say so."""
    node = strategy.plan.final
    if strategy.gate is None or node.is_composite or facts.takes(node.model, "supports_function_calling") is not False:
        return
    strategy.gate_closed = True
    strategy.notes = (*strategy.notes, f"{node.model} takes no tools, so it cannot decide and always deliberates")
    _log_closed(node.model)


@lru_cache(maxsize=1024)
def _log_closed(model: str) -> None:
    """Once for each model."""
    _log.warning("deliberate: auto: %s takes no tools, so it always deliberates", model)


def check_before_start(
    strategy: Strategy[Any], messages: Sequence[Message], facts: ModelFacts, *, nested: bool = False
) -> None:
    """Everything that can be known to fail before the first call.

    Args:
        strategy: Knows who is asked.
        messages: The caller's.
        facts: What is known about models.
        nested: Whether the run around this one has looked at what its members can take.

    Raises:
        InvalidOption: Nobody answers for a node's model, no member can take what the question holds, or a money cap could
            not be kept.
        FinalCallFailed: No final node has a key.
        ContextWindowExceeded: No final node can hold the messages, as far as they are quickly counted.
    """
    if not nested:
        _check_known(strategy, facts)
        _check_keys(strategy, facts)
        _check_readable(strategy, messages, facts)
    _check_priced(strategy, facts)
    if not is_long(messages):
        check_fits(strategy, messages, facts)


def _check_known(strategy: Strategy[Any], facts: ModelFacts) -> None:
    for node, params in _with_params(strategy, lambda asking: asking.all_nodes()):
        near = facts.near_unknown(node.model, params)
        if near is not None:
            known = ", ".join(repr(name) for name in near) or "none"
            raise InvalidOption(
                "model", f"LiteLLM knows no provider for {node.model!r}; nearest: {known}", value=node.model
            )


def _check_keys(strategy: Strategy[Any], facts: ModelFacts) -> None:
    """Nobody is asked for advice on an answer that cannot be given; a member without a key fails like any other."""
    if strategy.plan.options.on_final_failure == "best" or not strategy.final_stage.nodes:
        return
    failures = []
    for node, params in _final_nodes(strategy):
        variable = facts.missing_key(node.model, params)
        if variable is None:
            return
        failures.append(NodeFailure(node.label, key_missing(variable)))
    raise FinalCallFailed(strategy.final_stage.name, failures)


def _check_readable(strategy: Strategy[Any], messages: Sequence[Message], facts: ModelFacts) -> None:
    # What stands further back, or came from a tool, is noted for who cannot take it: it is not what is asked about, and an
    # agent's turn must not end in the middle.
    kinds = modalities_in(present_question(messages))
    nodes = list(_members(strategy)) if kinds else []
    for kind in sorted(kinds):
        if all(facts.takes(node.model, kind) is False for node in nodes):
            names = ", ".join(dict.fromkeys(node.model for node in nodes))
            raise InvalidOption("messages", f"holds content of type {kind}, which none of {names} takes")


def _members(strategy: Strategy[Any]) -> Iterator[Node]:
    """Who of the first stage is a model, those of nested composites included."""
    for node in strategy.members:
        if node.is_composite:
            yield from _members(strategy.nested(node))
        else:
            yield node


def _check_priced(strategy: Strategy[Any], facts: ModelFacts) -> None:
    options = strategy.plan.options
    cap = next((name for name in MONEY_CAPS if getattr(options, name) is not None), None)
    if cap is None or options.allow_unpriced:
        return
    for _, node in strategy.leaves():
        if facts.price(node.model, 1, 1, node.params) is None:
            raise InvalidOption(
                cap,
                f"the price of {node.model} is unknown, so the cap could not be kept",
                allowed="models with a known price, or allow_unpriced=True",
            )


LONG_CHARACTERS = 400_000
"""A conversation of so many takes a tokenizer longer than an event loop should be held up."""


def is_long(messages: Sequence[Message]) -> bool:
    """Whether its tokens must not be counted on an event loop."""
    return sum(len(text_of(message.get("content"))) for message in messages) > LONG_CHARACTERS


def count_beforehand(strategy: Strategy[Any], messages: Sequence[Message], facts: ModelFacts) -> None:
    """Count a long conversation for every model that will be asked, so that the counts are known when they are needed.

    Raises:
        ContextWindowExceeded: No final node can hold it.
    """
    check_fits(strategy, messages, facts)
    capped = any(getattr(strategy.plan.options, name) is not None for name in MONEY_CAPS)
    for model, window in dict.fromkeys((node.model, window_of(facts, node, None)) for _, node in strategy.leaves()):
        if capped:
            facts.count_tokens(model, messages)
        else:
            # Counts where the length alone does not tell.
            fits(facts, model, messages, window)


def check_fits(strategy: Strategy[Any], messages: Sequence[Message], facts: ModelFacts) -> None:
    """Refuse a conversation that no final node can hold.

    Raises:
        ContextWindowExceeded: names the node and its window.
    """
    if not strategy.final_stage.nodes:
        return
    limit = _limit(strategy.plan.params.get("max_tokens"))
    windows = [(node, window_of(facts, node, limit)) for node, _ in _final_nodes(strategy)]
    if windows and not any(fits(facts, node.model, messages, window) for node, window in windows):
        node, window = windows[0]
        raise ContextWindowExceeded(f"messages: longer than the {window} tokens that {node.model} takes")


def _final_nodes(strategy: Strategy[Any]) -> Iterator[tuple[Node, dict[str, Any]]]:
    """Who may have to give the answer, and hold the whole conversation for it: of a nested composite, its own final node."""
    return _with_params(strategy, lambda asking: chain(asking.plan.final))


def _with_params(
    strategy: Strategy[Any],
    nodes_of: Callable[[Strategy[Any]], Iterator[Node]],
    around: Mapping[str, Any] = NO_PARAMS,
) -> Iterator[tuple[Node, dict[str, Any]]]:
    """The models among a strategy's nodes and those of its nested composites, each with the most that its call may be given.

    Args:
        strategy: Who asks.
        nodes_of: Which of its nodes.
        around: What the run around it hands on.
    """
    params = {**around, **strategy.plan.params}
    for node in nodes_of(strategy):
        own = {**params, **node.params}
        if node.is_composite:
            yield from _with_params(strategy.nested(node), nodes_of, own)
        else:
            yield node, own


def _limit(max_tokens: Any) -> int | None:
    return max_tokens if isinstance(max_tokens, int) else None
