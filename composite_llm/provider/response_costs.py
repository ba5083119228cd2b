"""Lets `litellm.completion_cost` tell what a composite's response cost, which no price per token could."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import litellm

from composite_llm.backend import compat
from composite_llm.backend.litellm_error_classes import PROVIDER
from composite_llm.backend.litellm_table import has_price, row_of
from composite_llm.model.model_strings import is_composite_model, with_composite_prefix
from composite_llm.provider.traces import get_trace

_Prices = tuple[float, float]


def install_response_costs() -> None:
    """Put our answer before LiteLLM's, for composites only.

    `completion_cost` looks `cost_per_token` up in its module when it is called, so whoever has imported it already is
    served too. By itself LiteLLM says 0.0 for every model that it knows and that has no price.
    """
    original = compat.COST_PER_TOKEN.get()
    if original is None or getattr(original, "knows_composites", False):
        return
    replaced: Any = _with_composites(original)
    replaced.knows_composites = True
    compat.COST_PER_TOKEN.put(replaced)
    litellm.cost_per_token = replaced


def _with_composites(original: Callable[..., _Prices]) -> Callable[..., _Prices]:
    @functools.wraps(original)
    def cost_per_token(*args: Any, **kwargs: Any) -> _Prices:
        model = str(kwargs.get("model", args[0] if args else "") or "")
        if kwargs.get("custom_llm_provider") != PROVIDER and not is_composite_model(model):
            return original(*args, **kwargs)
        cost_usd = _told(kwargs.get("response"))
        if cost_usd is not None:
            return cost_usd, 0.0
        if has_price(row_of(_full(model))):
            # An operator's own price for a deployment.
            return original(*args, **kwargs)
        raise _unpriced(model)

    return cost_per_token


def _told(response: Any) -> float | None:
    """The run's cost from wherever a response still has it; None where it has none, or it is unknown."""
    hidden = getattr(response, "_hidden_params", None)
    if isinstance(hidden, dict):
        if hidden.get("cache_hit"):
            return 0.0
        if (cost := _number(hidden.get("response_cost"))) is not None:
            return cost
    trace = get_trace(response, default=None)
    if trace is not None:
        return trace.cost_usd
    usage = response.get("usage") if isinstance(response, dict) else getattr(response, "usage", None)
    return _number(usage.get("cost") if isinstance(usage, dict) else getattr(usage, "cost", None))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _full(model: str) -> str:
    return with_composite_prefix(model)


def _unpriced(model: str) -> Exception:
    message = f"what {_full(model)!r} costs is known of its responses alone, and this one does not tell"
    # LiteLLM 1.94 raises a bare Exception for a model without a price.
    return (compat.MODEL_NOT_MAPPED.get() or Exception)(message)
