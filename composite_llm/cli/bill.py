"""A run in one line."""

from __future__ import annotations

from composite_llm.model.summary import money
from composite_llm.model.trace import Trace


def bill(trace: Trace) -> str:
    """Calls, tokens, money, seconds; and whether all went as configured."""
    calls = len(trace.calls)
    parts = [
        f"{calls} call{'s' if calls != 1 else ''}",
        f"{trace.usage.prompt_tokens} + {trace.usage.completion_tokens} tokens",
        money(trace.cost_usd),
        f"{trace.duration_s:.1f} s",
    ]
    if trace.degraded:
        parts.append("degraded")
    return " · ".join(parts)
