"""LiteLLM's model table: what it says of one model string, and how it splits it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import litellm

from composite_llm.backend.litellm_ollama import FREE
from composite_llm.backend.litellm_ollama import PROVIDERS as OLLAMA

_PRICES = ("input_cost_per", "output_cost_per")


def row_of(model: str) -> dict[str, Any]:
    """The model's row; empty if it has none. Not remembered: applications register models at any time."""
    table, model = litellm.model_cost, _listed_name(model)
    row = table.get(model)
    if row is not None and has_price(row):
        return dict(row)
    bare, provider, _ = split(model)
    if provider in OLLAMA:
        # What runs on one's own machine has no price; LiteLLM says so too, of the models that it asks about.
        return {**(row or {}), "litellm_provider": provider, **FREE}
    plain = table.get(bare, {})
    if row is None:
        return dict(plain)
    # For each deployment a Router makes a row under the model's full name, without prices; they are in the plain one.
    same = plain.get("litellm_provider") == provider
    return {**(plain if same else {}), **{key: value for key, value in row.items() if value is not None}}


def _listed_name(model: str) -> str:
    """Without LiteLLM's word for "over OpenAI's Responses", under which no model is listed."""
    return model if model in litellm.model_cost else model.replace("/responses/", "/", 1)


@lru_cache(maxsize=2048)
def split(model: str) -> tuple[str, str | None, str | None]:
    """The provider's own name of the model, the provider, and its address; None where LiteLLM does not know."""
    try:
        bare, provider, _, base = litellm.get_llm_provider(model)
    except Exception:  # noqa: BLE001  # a name of the router, or of nobody
        return model, None, None
    return bare, provider, base


def has_price(row: Mapping[str, Any]) -> bool:
    """Whether a row names a price; a price of zero is one."""
    return any(key.startswith(_PRICES) and value is not None for key, value in row.items())


def listed_price(model: str, prompt_tokens: int, completion_tokens: int, usage: Any = None) -> float | None:
    """US dollars by the table.

    Args:
        model: A LiteLLM model string.
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens of the answer.
        usage: LiteLLM's usage object, whose cached tokens have a price of their own.

    Returns:
        None where the model has no price there.
    """
    row = row_of(model)
    if not has_price(row):
        return None
    if row.get("litellm_provider") in OLLAMA:
        # LiteLLM would ask its server, and wait.
        return 0.0
    more = {} if usage is None else {"usage_object": usage}
    try:
        parts = litellm.cost_per_token(
            model=_listed_name(model), prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, **more
        )
    except Exception:  # noqa: BLE001  # LiteLLM raises a bare Exception for what it cannot price
        return None
    return float(parts[0] + parts[1])
