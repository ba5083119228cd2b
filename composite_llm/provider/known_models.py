"""The chat models that LiteLLM's table has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import litellm

from composite_llm.backend.litellm_error_classes import PROVIDER


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One row.

    Attributes:
        model: The model string.
        provider: LiteLLM's name of the provider.
        window: Tokens a prompt may have.
        longest_answer: Tokens.
        input_usd_per_million: Price of the prompt; None when unknown.
        output_usd_per_million: Price of the answer; None when unknown.
        vision: Whether it takes pictures.
        tools: Whether it calls tools.
    """

    model: str
    provider: str
    window: int | None
    longest_answer: int | None
    input_usd_per_million: float | None
    output_usd_per_million: float | None
    vision: bool
    tools: bool


def providers() -> dict[str, int]:
    """Every provider with the number of its chat models."""
    counts: dict[str, int] = {}
    for _, entry in _chat_entries():
        counts[entry["litellm_provider"]] = counts.get(entry["litellm_provider"], 0) + 1
    return dict(sorted(counts.items()))


def models_of(names: Iterable[str]) -> list[KnownModel]:
    """The chat models of these providers, by name."""
    wanted = set(names)
    models = [_known(key, entry) for key, entry in _chat_entries() if entry["litellm_provider"] in wanted]
    return sorted(models, key=lambda row: (row.provider, row.model))


def _chat_entries() -> Iterable[tuple[str, dict[str, Any]]]:
    for key, entry in litellm.model_cost.items():
        provider = entry.get("litellm_provider")
        if entry.get("mode") == "chat" and isinstance(provider, str) and provider != PROVIDER:
            yield key, entry


def _known(key: str, entry: dict[str, Any]) -> KnownModel:
    provider = str(entry["litellm_provider"])
    return KnownModel(
        model=_model_string(key, provider),
        provider=provider,
        window=_count(entry.get("max_input_tokens") or entry.get("max_tokens")),
        longest_answer=_count(entry.get("max_output_tokens")),
        input_usd_per_million=_per_million(entry.get("input_cost_per_token")),
        output_usd_per_million=_per_million(entry.get("output_cost_per_token")),
        vision=bool(entry.get("supports_vision")),
        tools=bool(entry.get("supports_function_calling")),
    )


def _model_string(key: str, provider: str) -> str:
    # LiteLLM files some of Google's models under `vertex_ai-…`, and calls all of them `vertex_ai/…`.
    prefix = "vertex_ai" if provider.startswith("vertex_ai-") else provider
    return key if key.startswith(f"{prefix}/") else f"{prefix}/{key}"


def _count(value: Any) -> int | None:
    """The table has numbers as text here and there."""
    with contextlib.suppress(TypeError, ValueError):
        return int(value)
    return None


def _per_million(value: Any) -> float | None:
    with contextlib.suppress(TypeError, ValueError):
        return round(float(value) * 1_000_000, 6)
    return None
