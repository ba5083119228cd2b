"""Who is asked, in which order. A strategy is one file; CONTRIBUTING.md shows how one is written and made known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from composite_llm.backend.interface import Message
from composite_llm.config.node import Node, NodeSettings
from composite_llm.config.options import Nodes, Options
from composite_llm.config.plan import Plan
from composite_llm.config.registry import STRATEGIES
from composite_llm.config.stage_spec import StageSpec
from composite_llm.strategies.base import Strategy
from composite_llm.strategies.deliberation import Deliberation, StageAnswer, StageResult
from composite_llm.strategies.fences import fence_code
from composite_llm.strategies.prompts import fenced, material_note
from composite_llm.strategies.requests import Prompt
from composite_llm.strategies.runner import StageRunner


def strategy_for(plan: Plan, messages: Sequence[Message]) -> Strategy[Any]:
    """The plan's strategy, ready to run."""
    options = plan.options
    strategy = cast(Strategy[Any], STRATEGIES.strategy_type(options.strategy)(plan, options, messages))
    if options.deliberate == "never":
        # What it would have to say is about members who are not asked.
        strategy.notes = ()
    return strategy


__all__ = [
    "Deliberation",
    "Node",
    "NodeSettings",
    "Nodes",
    "Options",
    "Prompt",
    "StageAnswer",
    "StageResult",
    "StageRunner",
    "StageSpec",
    "Strategy",
    "fence_code",
    "fenced",
    "material_note",
    "strategy_for",
]
