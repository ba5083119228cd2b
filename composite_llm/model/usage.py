"""Tokens of calls, and how they add up."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

_FIELDS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_creation_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
)


class Usage(BaseModel):
    """Tokens of one call or of many. The parts below `total_tokens` are contained in the first two, not added to them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens read from the provider's prompt cache."""
    cache_creation_tokens: int = 0
    """Prompt tokens written to the provider's prompt cache."""
    reasoning_tokens: int = 0
    """Completion tokens the model spent on its own reasoning."""
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        if other is NO_USAGE:
            return self
        if self is NO_USAGE:
            return other
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})


NO_USAGE = Usage()


def total_usage(usages: Iterable[Usage]) -> Usage:
    """The sum, field by field."""
    some = [usage for usage in usages if usage is not NO_USAGE]
    if len(some) < 2:
        return some[0] if some else NO_USAGE
    columns = zip(*[vars(usage).values() for usage in some], strict=True)
    return Usage(**dict(zip(_FIELDS, map(sum, columns), strict=True)))


def total_cost(costs: Iterable[float | None]) -> float | None:
    """The sum in US dollars; None as soon as one part is unknown, since an unknown price is not a free one."""
    parts = list(costs)
    # The second form is the first for a type checker.
    return None if None in parts else math.fsum([cost for cost in parts if cost is not None])
