"""Worst cases: what a stage may cost at most, and how much of it fits under the caps of the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from composite_llm.backend.interface import Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.personas import persona_text

UNKNOWN_OUTPUT_TOKENS = 4096
"""Assumed longest answer of a model whose limit nobody knows."""
NOTE_TOKENS = 400
"""What our own instructions add to a prompt."""


@dataclass(frozen=True, slots=True)
class Worst:
    """An upper bound.

    Attributes:
        calls: Attempts, if none fails.
        cost_usd: US dollars. What has no price counts as nothing: it was allowed explicitly, or is a composite, whose
            own calls keep to the same caps.
    """

    calls: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Worst) -> Worst:
        return Worst(self.calls + other.calls, self.cost_usd + other.cost_usd)


def total(parts: Iterable[Worst]) -> Worst:
    """The sum."""
    result = Worst()
    for part in parts:
        result = result + part
    return result


def longest_answer(facts: ModelFacts, node: Node, max_tokens: int | None = None) -> int:
    """Tokens the node's answer may have: its own limit, the request's, the model's, or a guess."""
    own = node.params.get("max_tokens") or node.params.get("max_completion_tokens") or max_tokens
    limit = facts.max_output_tokens(node.model) or UNKNOWN_OUTPUT_TOKENS
    return min(int(own), limit) if own else limit


def worst_call(facts: ModelFacts, node: Node, prompt_tokens: int, max_tokens: int | None = None) -> Worst:
    """One call of a node with its persona, at its longest answer."""
    if node.system:
        prompt_tokens += facts.count_tokens(node.model, [{"role": "system", "content": persona_text(node.system)}])
    return Worst(1, facts.price(node.model, prompt_tokens, longest_answer(facts, node, max_tokens)) or 0.0)


def prompt_tokens(facts: ModelFacts, node: Node, messages: Sequence[Message]) -> int:
    """Tokens of a conversation for a node's model."""
    return facts.count_tokens(node.model, messages)


@dataclass(frozen=True, slots=True)
class Caps:
    """What is left of the run's caps; None for no cap."""

    calls: int | None = None
    cost_usd: float | None = None

    @property
    def none(self) -> bool:
        """Whether there is nothing to keep to."""
        return self.calls is None and self.cost_usd is None

    def allow(self, worst: Worst) -> bool:
        """Whether a worst case fits."""
        if self.calls is not None and worst.calls > self.calls:
            return False
        return self.cost_usd is None or worst.cost_usd <= self.cost_usd + 1e-12
