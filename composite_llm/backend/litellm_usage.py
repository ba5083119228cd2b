"""LiteLLM's usage object in our form."""

from __future__ import annotations

from typing import Any

from composite_llm.usage import NO_USAGE, Usage


def usage_of(usage: Any) -> Usage:
    """LiteLLM's usage object in our form."""
    if usage is None:
        return NO_USAGE
    prompt = getattr(usage, "prompt_tokens_details", None)
    completion = getattr(usage, "completion_tokens_details", None)
    prompt_tokens, completion_tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=_count(usage, "total_tokens") or prompt_tokens + completion_tokens,
        cached_tokens=_count(prompt, "cached_tokens"),
        cache_creation_tokens=_count(prompt, "cache_creation_tokens"),
        reasoning_tokens=_count(completion, "reasoning_tokens"),
        audio_input_tokens=_count(prompt, "audio_tokens"),
        audio_output_tokens=_count(completion, "audio_tokens"),
    )


def _count(holder: Any, name: str) -> int:
    value = holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
    return int(value) if isinstance(value, int | float) else 0
