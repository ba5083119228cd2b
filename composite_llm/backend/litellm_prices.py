"""What tokens cost at prices that somebody wrote down: a node, or the operator of a Router's deployment."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from composite_llm.backend import compat
from composite_llm.backend.litellm_table import row_of
from composite_llm.model.usage import Usage

_INPUT, _OUTPUT = "input_cost_per_token", "output_cost_per_token"
_CACHE_READ, _CACHE_WRITE = "cache_read_input_token_cost", "cache_creation_input_token_cost"
RATES = (_INPUT, _OUTPUT, _CACHE_READ, _CACHE_WRITE)


@cache
def _keeps_prices_apart() -> bool:
    """Whether LiteLLM files a call's prices with the call or its deployment, not under the model's name for all calls."""
    return any(name.get() is not None for name in (compat.PRICES_BY_CALL, compat.PRICES_BY_DEPLOYMENT))


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars for one token each."""

    input: float
    output: float
    cache_read: float
    cache_write: float

    def cost_usd(self, usage: Usage) -> float:
        """What so many tokens cost."""
        cached, written = usage.cached_tokens, usage.cache_creation_tokens
        fresh = max(usage.prompt_tokens - cached - written, 0)
        prompt = fresh * self.input + cached * self.cache_read + written * self.cache_write
        return prompt + usage.completion_tokens * self.output

    def as_params(self) -> dict[str, float]:
        """Under LiteLLM's names."""
        return dict(zip(RATES, (self.input, self.output, self.cache_read, self.cache_write), strict=True))


def names_prices(said: Mapping[str, Any]) -> bool:
    """Whether a price per token is among what was said."""
    return any(said.get(key) is not None for key in (_INPUT, _OUTPUT))


def rates_of(said: Mapping[str, Any], described_as: str) -> Rates | None:
    """The rates that were said, and for the others those of LiteLLM's table.

    Args:
        said: What a node or an operator says of a model.
        described_as: The model whose row of the table describes it.

    Returns:
        None where a rate for prompts or answers is missing, or is no number of 0 or more.
    """
    row = row_of(described_as)
    known = {key: said[key] if said.get(key) is not None else row.get(key) for key in RATES}
    given, taken = rate_of(known[_INPUT]), rate_of(known[_OUTPUT])
    if given is None or taken is None:
        return None
    read, written = (rate_of(known[key]) for key in (_CACHE_READ, _CACHE_WRITE))
    return Rates(given, taken, given if read is None else read, given if written is None else written)


def rate_of(value: Any) -> float | None:
    """A price per token as it was written; None where it is no number of 0 or more."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def without_prices(params: Mapping[str, Any]) -> dict[str, Any]:
    """Call parameters without prices per token."""
    return {key: value for key, value in params.items() if key not in RATES}


def told_to_litellm(model: str, rates: Rates) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and metadata with which LiteLLM books a call at these rates, and no other call of the same model.

    By themselves the parameters would set the price of the model for the whole process.
    """
    if not _keeps_prices_apart():
        return {}, {}
    text = json.dumps([model, rates.as_params()])
    return rates.as_params(), {"model_info": {"id": f"composite-{hashlib.sha256(text.encode()).hexdigest()[:16]}"}}
