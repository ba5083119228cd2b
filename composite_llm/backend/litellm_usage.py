"""LiteLLM's usage object in our form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from composite_llm.model.usage import NO_USAGE, Usage


def usage_of(usage: Any) -> Usage:
    """LiteLLM's usage object in our form."""
    if usage is None:
        return NO_USAGE
    counts = _counts(usage)
    prompt, completion = _counts(counts.get("prompt_tokens_details")), _counts(counts.get("completion_tokens_details"))
    prompt_tokens, completion_tokens = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=_count(counts, "total_tokens") or prompt_tokens + completion_tokens,
        cached_tokens=_count(prompt, "cached_tokens") if prompt else 0,
        cache_creation_tokens=_count(prompt, "cache_creation_tokens") if prompt else 0,
        reasoning_tokens=_count(completion, "reasoning_tokens") if completion else 0,
        audio_input_tokens=_count(prompt, "audio_tokens") if prompt else 0,
        audio_output_tokens=_count(completion, "audio_tokens") if completion else 0,
    )


def _counts(holder: Any) -> Mapping[str, Any]:
    """The counts as a mapping. Asking pydantic for an attribute that is absent, or not declared, costs ten times as much."""
    if holder is None or isinstance(holder, Mapping):
        return holder or {}
    extra = holder.model_extra if isinstance(holder, BaseModel) else None
    return {**vars(holder), **extra} if extra else vars(holder)


def _count(counts: Mapping[str, Any], name: str) -> int:
    value = counts.get(name)
    if value.__class__ is int or value is None:
        return value or 0
    return int(value) if isinstance(value, int | float) else 0
