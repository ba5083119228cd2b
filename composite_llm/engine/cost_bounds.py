"""Worst cases: what a stage may cost at most, and how much of it fits under the caps of the run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from composite_llm.backend.interface import Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.config.numbers import ANSWER_LIMITS, MULTIPLIERS
from composite_llm.engine.prompt_fitting import at_most_tokens, window_of
from composite_llm.model.personas import persona_text

UNKNOWN_OUTPUT_TOKENS = 4096
"""Assumed longest answer of a model whose limit nobody knows."""
NOTE_TOKENS = 400
"""What our own instructions add to a prompt: 170 to 310 tokens as GPT-4o counts them."""
QUOTE_TOKENS = 60
"""What the marks around a quoted answer, its line of the vote and its places in a ranking add: 26 to 55 tokens."""
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class WorstCase:
    """An upper bound.

    Attributes:
        calls: Attempts, if none fails.
        cost_usd: US dollars. What has no price counts as nothing: it was allowed explicitly.
        prompt_tokens: What goes up.
        completion_tokens: What comes down.
    """

    calls: int = 0
    cost_usd: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: WorstCase) -> WorstCase:
        return WorstCase(
            self.calls + other.calls,
            self.cost_usd + other.cost_usd,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


def total_worst_case(parts: Iterable[WorstCase]) -> WorstCase:
    """The sum."""
    result = WorstCase()
    for part in parts:
        result = result + part
    return result


def within_caps(worst: WorstCase, max_calls: int | None, max_cost_usd: float | None) -> WorstCase:
    """A nested run's bound under its own caps."""
    calls = worst.calls if max_calls is None else min(worst.calls, max_calls)
    cost_usd = worst.cost_usd if max_cost_usd is None else min(worst.cost_usd, max_cost_usd)
    return replace(worst, calls=calls, cost_usd=cost_usd)


def longest_answer(facts: ModelFacts, node: Node, params: Mapping[str, Any] = _NOTHING) -> int:
    """Tokens the node's answer may have, all its choices together.

    The least of its own `max_tokens`, the request's, the model's limit (or a guess) and the node's `context_window`,
    which is the whole window; LiteLLM's table tells of a window what the prompt may have, which limits no answer.

    Args:
        facts: What the table says.
        node: Whom to ask.
        params: The request's parameters that reach the call.
    """
    sent = _as_sent(params, node.params)
    limits = (facts.max_output_tokens(node.model) or UNKNOWN_OUTPUT_TOKENS, _asked_limit(sent), node.context_window)
    # A prediction's tokens that come to nothing are billed as the answer's.
    predicted = len(json.dumps(sent["prediction"], default=str)) if sent.get("prediction") else 0
    return (min(limit for limit in limits if limit is not None) + predicted) * _answers(sent)


def advice_on_length(facts: ModelFacts, node: Node, params: Mapping[str, Any], needed_usd: float) -> str | None:
    """What to set where a call does not fit under a cap because nothing limits its answer; None where something does.

    Args:
        facts: What the table says.
        node: Whom to ask.
        params: The call's parameters.
        needed_usd: The least cap under which it fits.
    """
    if _asked_limit(_as_sent(params, node.params)) is not None:
        return None
    tokens = longest_answer(facts, node, params)
    return (
        f"{node.label} has no max_tokens, so its answer counts with the {tokens} tokens that it may have: "
        f"set max_tokens, or max_cost_usd to at least {_rounded_up(needed_usd):g}"
    )


def _rounded_up(usd: float) -> float:
    """To two digits that are not 0."""
    digits = 1 - math.floor(math.log10(usd)) if usd > 0 else 0
    scale = 10.0**digits
    return math.ceil(usd * scale) / scale


def _as_sent(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A call's parameters as they stand in its body: those of `extra_body` win over the others."""
    merged = {**inherited, **own}
    body = merged.get("extra_body")
    return {**merged, **body} if isinstance(body, Mapping) else merged


def _asked_limit(sent: Mapping[str, Any]) -> int | None:
    """The loosest of the limits that a call names, since its model knows one of them; None for none."""
    limits = [sent[key] for key in ANSWER_LIMITS if isinstance(sent.get(key), int)]
    return max(limits) if limits and min(limits) > 0 else None


def _answers(sent: Mapping[str, Any]) -> int:
    return math.prod(sent[key] for key in MULTIPLIERS if isinstance(sent.get(key), int) and sent[key] > 0)


def _max_tokens(params: Mapping[str, Any]) -> int | None:
    value = params.get("max_completion_tokens") or params.get("max_tokens")
    return value if isinstance(value, int) else None


def worst_call(facts: ModelFacts, node: Node, prompt_tokens: int, params: Mapping[str, Any] = _NOTHING) -> WorstCase:
    """One call of a node with its persona, at its longest answer.

    Args:
        facts: Prices and limits.
        node: Whom to ask.
        prompt_tokens: The longest prompt without the persona. What is longer than the model's window is cut, or not
            sent at all.
        params: The request's parameters that reach the call; its tools are part of the prompt.
    """
    if node.system:
        prompt_tokens += facts.count_tokens(node.model, [{"role": "system", "content": persona_text(node.system)}])
    window = window_of(facts, node, _max_tokens(node.params))
    if window is not None:
        prompt_tokens = min(prompt_tokens, window)
    if schemas := schemas_of(params):
        # Not measured when a prompt is cut to its window.
        prompt_tokens += facts.count_tokens(node.model, [{"role": "system", "content": schemas}])
    return _priced(facts, node, prompt_tokens, params)


@dataclass(frozen=True, slots=True)
class CostBound:
    """What one attempt may cost.

    Attributes:
        at_most_usd: A bound that costs nothing to find.
        exact_usd: Counts the prompt's tokens, and finds a tighter one.
    """

    at_most_usd: float
    exact_usd: Callable[[], float]


def cost_bound(facts: ModelFacts, node: Node, messages: Sequence[Message], params: Mapping[str, Any]) -> CostBound:
    """The bound of an attempt whose prompt is known, persona included."""
    sent = [*messages, {"role": "system", "content": text}] if (text := schemas_of(params)) else messages

    def exact_usd() -> float:
        return _priced(facts, node, facts.count_tokens(node.model, sent), params).cost_usd

    if all(isinstance(message.get("content"), str) for message in sent):
        return CostBound(_priced(facts, node, at_most_tokens(sent), params).cost_usd, exact_usd)
    # An image's address is shorter than the image.
    exact = exact_usd()
    return CostBound(exact, lambda: exact)


def _priced(facts: ModelFacts, node: Node, prompt_tokens: int, params: Mapping[str, Any]) -> WorstCase:
    completion_tokens = longest_answer(facts, node, params)
    cost_usd = facts.price(node.model, prompt_tokens, completion_tokens, node.params) or 0.0
    return WorstCase(1, cost_usd, prompt_tokens, completion_tokens)


def schemas_of(params: Mapping[str, Any]) -> str:
    """What a call's tools and its output format add to its prompt."""
    schemas = [params[key] for key in ("tools", "functions", "response_format") if params.get(key)]
    return json.dumps([_schema(value) for value in schemas], default=str) if schemas else ""


def _schema(value: Any) -> Any:
    return value.model_json_schema() if hasattr(value, "model_json_schema") else value


@dataclass(frozen=True, slots=True)
class Caps:
    """What is left of the run's caps; None for no cap."""

    calls: int | None = None
    cost_usd: float | None = None

    @property
    def none(self) -> bool:
        """Whether there is nothing to keep to."""
        return self.calls is None and self.cost_usd is None

    def allow(self, worst: WorstCase) -> bool:
        """Whether a worst case fits."""
        if self.calls is not None and worst.calls > self.calls:
            return False
        return self.cost_usd is None or worst.cost_usd <= self.cost_usd + 1e-12
