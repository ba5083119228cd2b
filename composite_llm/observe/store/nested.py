"""Composites within a run: which of its calls were composites, and what ran below them cost."""

from __future__ import annotations

from composite_llm.model.call_tree import CallTree
from composite_llm.model.model_strings import is_composite_model
from composite_llm.model.trace import Call, Trace


def composites_of(call: Call) -> set[str]:
    """The composite model strings that a call tried, its fallbacks and those behind a Router's name included."""
    models = {call.model, *(attempt.model for attempt in call.attempts)}
    return {model for model in models if is_composite_model(model)} | {*call.composites}


def spent_by_nested(trace: Trace) -> dict[str, float]:
    """US dollars by the composite model string of each nested run; what has no known price counts as nothing.

    A call with several composites, one a fallback of the other, counts for each: which of them made a call below is
    not told, and a budget must not be overdrawn.
    """
    spent: dict[str, float] = {}
    tree = CallTree(trace.calls)
    for call in trace.calls:
        for model in composites_of(call):
            below = (known_usd(inner) for inner in tree.subtree(call))
            spent[model] = spent.get(model, 0.0) + sum(below)
    return spent


def known_usd(call: Call) -> float:
    """What a call's own attempts cost, as far as it is known."""
    return sum(attempt.cost_usd or 0.0 for attempt in call.attempts)
