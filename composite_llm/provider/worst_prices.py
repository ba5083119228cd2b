"""What a token of a composite's caller costs at worst, for those who reckon with a price per token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from composite_llm.backend.interface import NO_PARAMS, Message, ModelFacts, Params
from composite_llm.config.plan import Plan
from composite_llm.strategies import strategy_for
from composite_llm.strategies.worst_cases import worst_case

_TOKENS = 1000
"""Of the question, or of each answer, when its share is measured: enough that a node's own `max_tokens` shows."""


@dataclass(frozen=True, slots=True)
class WorstPrices:
    """US dollars for one token.

    Attributes:
        input: Of the conversation: every call reads it.
        output: Of an answer: every call may write one as long, and later calls read those of the earlier ones.
    """

    input: float
    output: float


def worst_prices(plan: Plan, facts: ModelFacts) -> WorstPrices | None:
    """A run costs at most `input` for each token asked and `output` for each of its longest answer, if no call fails.

    What our own instructions add to the prompts is left out; it does not grow with either.

    Returns:
        None when a node's price is unknown.
    """
    question: list[Message] = [{"role": "user", "content": ""}]

    def cost_usd(asked: int, answered: int) -> float:
        # Made anew: a strategy counts its question only once.
        strategy = strategy_for(plan, question)
        return worst_case(strategy, _Lengths(facts, asked, answered)).cost_usd

    if any(facts.price(node.model, 1, 1, node.params) is None for _, node in strategy_for(plan, question).leaves()):
        return None
    # One token: an answer of none would be taken for one of unknown length.
    base = cost_usd(0, 1)
    return WorstPrices(_rounded(cost_usd(_TOKENS, 1) - base), _rounded(cost_usd(0, _TOKENS + 1) - base))


def _rounded(cost_usd: float) -> float:
    """For one token, without the noise of a sum of floats."""
    return float(f"{cost_usd / _TOKENS:.9g}")


@dataclass(frozen=True, slots=True)
class _Lengths:
    """`ModelFacts` in which the conversation and every answer have a given length."""

    facts: ModelFacts
    asked: int
    answered: int

    def count_tokens(self, model: str, messages: Sequence[Message]) -> int:
        # A persona's prompt is no part of what the caller sends.
        return self.asked if any(message["role"] != "system" for message in messages) else 0

    def max_output_tokens(self, model: str) -> int | None:
        return self.answered

    def context_window(self, model: str) -> int | None:
        return None

    def price(self, model: str, prompt_tokens: int, completion_tokens: int, params: Params = NO_PARAMS) -> float | None:
        return self.facts.price(model, prompt_tokens, completion_tokens, params)

    def provider(self, model: str, params: Params) -> str | None:
        return self.facts.provider(model, params)

    def answering_provider(self, model: str, params: Params) -> str | None:
        return self.facts.answering_provider(model, params)

    def missing_key(self, model: str, params: Params) -> str | None:
        return self.facts.missing_key(model, params)

    def near_unknown(self, model: str, params: Params) -> Sequence[str] | None:
        return self.facts.near_unknown(model, params)

    def takes_schema(self, model: str) -> bool:
        return self.facts.takes_schema(model)

    def counts_exactly(self, model: str) -> bool:
        return self.facts.counts_exactly(model)

    def takes(self, model: str, modality: str) -> bool | None:
        return self.facts.takes(model, modality)
