"""Usage in OpenAI's form."""

from typing import Any

from fake_server.scenario import UsageSpec

Usage = dict[str, Any]
_NOTHING = UsageSpec()


def make_usage(prompt: int, completion: int, reasoning: int, override: UsageSpec | None) -> Usage:
    """Return the usage of an answer, with what the scenario overrides."""
    spec = override or _NOTHING
    prompt = _first(spec.prompt_tokens, prompt)
    completion = _first(spec.completion_tokens, completion)
    usage: Usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": _first(spec.cached_tokens, 0),
            "audio_tokens": _first(spec.audio_tokens, 0),
        },
        "completion_tokens_details": {
            "reasoning_tokens": _first(spec.reasoning_tokens, reasoning),
            "audio_tokens": _first(spec.completion_audio_tokens, 0),
        },
    }
    if spec.cache_creation_tokens is not None:
        # Two places, since the vendors that report cache writes do not agree on one.
        usage["prompt_tokens_details"]["cache_creation_tokens"] = spec.cache_creation_tokens
        usage["cache_creation_input_tokens"] = spec.cache_creation_tokens
    if spec.cost is not None:
        usage["cost"] = spec.cost
    return usage


def partial_usage(full: Usage, tokens_sent: int) -> Usage:
    """Return what an answer costs that ended after so many tokens."""
    completion = min(full["completion_tokens"], tokens_sent)
    details = full["completion_tokens_details"]
    return {
        **full,
        "completion_tokens": completion,
        "total_tokens": full["prompt_tokens"] + completion,
        "completion_tokens_details": {**details, "reasoning_tokens": min(details["reasoning_tokens"], completion)},
    }


def _first(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
