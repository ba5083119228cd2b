"""Who is asked, in which order. A further strategy is one file here, its options, and one line in `STRATEGY_OF`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from composite_llm.backend.interface import Message
from composite_llm.config.plan import Plan
from composite_llm.strategies.base import Deliberation, Strategy
from composite_llm.strategies.council import Council
from composite_llm.strategies.moa import MixtureOfAgents

STRATEGY_OF: dict[str, type[Strategy[Any]]] = {"moa": MixtureOfAgents, "council": Council}


def strategy_for(plan: Plan, messages: Sequence[Message]) -> Strategy[Any]:
    """The plan's strategy, ready to run."""
    return STRATEGY_OF[plan.options.strategy](plan, plan.options, messages)


__all__ = ["STRATEGY_OF", "Deliberation", "Strategy", "strategy_for"]
