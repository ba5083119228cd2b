"""What an answer has cost: tokens as its provider told them, money by prices that are known here.

What a provider itself says that an answer cost, in its usage or in a header, is not taken: caps would hold only as well
as each endpoint's word. LiteLLM takes it from a header, and in a stream from the usage. The exception is OpenRouter, whose
statement is its price list, and which LiteLLM takes at its word in both forms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from composite_llm.backend import compat
from composite_llm.backend.interface import AttemptRequest
from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.backend.litellm_prices import names_prices
from composite_llm.backend.litellm_usage import usage_of
from composite_llm.model.usage import NO_USAGE, Usage

_STATES_ITS_PRICES = frozenset({"openrouter"})
_COST_HEADER = "llm_provider-x-litellm-response-cost"


@dataclass(frozen=True, slots=True)
class Bill:
    """Tokens and money of one answer.

    Attributes:
        usage: As the provider told it.
        cost_usd: None where the price is unknown.
        told: Whether the provider told the tokens.
    """

    usage: Usage = NO_USAGE
    cost_usd: float | None = 0.0
    told: bool = True


_UNTOLD = Bill(told=False)


def plain_bill(facts: LiteLLMFacts, request: AttemptRequest, response: Any) -> Bill:
    """The bill of a plain answer."""
    raw, hidden = getattr(response, "usage", None), getattr(response, "_hidden_params", None) or {}
    usage = usage_of(raw)
    if hidden.get("cache_hit"):
        return Bill(usage)
    if not usage.total_tokens:
        return _UNTOLD
    stated = (hidden.get("additional_headers") or {}).get(_COST_HEADER)
    pricing = _Pricing(facts, request, hidden.get("custom_llm_provider"), hidden.get("model_id"))
    return Bill(usage, pricing.cost_usd(hidden.get("response_cost"), stated, usage, raw))


def is_open(stream: Any) -> bool:
    """Whether the provider has accepted the request; LiteLLM asks some of them only when the stream is first read."""
    return compat.STREAM_SOURCE.of(stream) is not None


class StreamBill:
    """The bill of a streamed answer, as LiteLLM tells it at its end.

    LiteLLM counts the tokens itself where the provider told none; what the provider sent is in the wrapper's own list.
    """

    def __init__(self, facts: LiteLLMFacts, request: AttemptRequest, stream: Any) -> None:
        self._stream = stream
        hidden = getattr(stream, "_hidden_params", None) or {}
        self._header = (hidden.get("additional_headers") or {}).get(_COST_HEADER)
        self._pricing = _Pricing(facts, request, compat.STREAM_PROVIDER.of(stream), hidden.get("model_id"))

    def of(self, raw: Any) -> Bill:
        """The bill that LiteLLM's usage object amounts to."""
        usage = usage_of(raw)
        if compat.STREAM_PROVIDER.of(self._stream) == "cached_response":
            return Bill(usage)
        chunks = compat.STREAM_CHUNKS.of(self._stream) or []
        sent = [usage_of_chunk for chunk in chunks if (usage_of_chunk := getattr(chunk, "usage", None)) is not None]
        # Without chunks of its own it is another stream that is read, which a Router has fallen back on.
        if not usage.total_tokens or (chunks and not any(usage_of(sent_usage).total_tokens for sent_usage in sent)):
            return _UNTOLD
        stated = next(
            (cost for sent_usage in sent if (cost := getattr(sent_usage, "cost", None)) is not None), self._header
        )
        return Bill(usage, self._pricing.cost_usd(getattr(raw, "cost", None), stated, usage, raw))


@dataclass(frozen=True, slots=True)
class _Pricing:
    facts: LiteLLMFacts
    request: AttemptRequest
    provider: str | None
    model_id: str | None

    def cost_usd(self, told: Any, stated: Any, usage: Usage, raw: Any) -> float | None:
        """The price of an answer.

        Args:
            told: What LiteLLM says that it cost.
            stated: What the provider says.
            usage: The tokens.
            raw: LiteLLM's object of them.
        """
        model, params = self.request.model, self.request.params
        if names_prices(params) or (stated is not None and not self._believed(stated)):
            return self.facts.price_of(model, raw, params, self.model_id)
        if isinstance(told, int | float) and told > 0:
            return float(told)
        # LiteLLM says 0.0 also of a model without a price, and an unknown price is not 0.
        if stated is not None or self._has_price():
            return float(told) if told is not None else self.facts.price_of(model, raw, params, self.model_id)
        return None

    def _believed(self, stated: Any) -> bool:
        if self.provider not in _STATES_ITS_PRICES:
            return False
        try:
            return math.isfinite(float(stated)) and float(stated) >= 0
        except (TypeError, ValueError):
            return False

    def _has_price(self) -> bool:
        by_the_second = any(key.endswith("_cost_per_second") for key in self.request.params)
        return by_the_second or self.facts.is_priced(self.request.model)
