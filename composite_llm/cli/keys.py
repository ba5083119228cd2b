"""Which providers' keys are in the environment, and what to ask when nobody named a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A provider that the command can pick models of.

    Attributes:
        variables: Any of them holds its key.
        strong: The model that writes the answer.
        small: The model that proposes or sits in the council.
    """

    variables: tuple[str, ...]
    strong: str
    small: str


PROVIDERS: Mapping[str, Known] = {
    "openai": Known(("OPENAI_API_KEY",), "openai/gpt-4.1", "openai/gpt-4.1-mini"),
    "anthropic": Known(("ANTHROPIC_API_KEY",), "anthropic/claude-sonnet-4-6", "anthropic/claude-haiku-4-5"),
    "gemini": Known(("GEMINI_API_KEY", "GOOGLE_API_KEY"), "gemini/gemini-3.5-flash", "gemini/gemini-3.5-flash-lite"),
    "mistral": Known(("MISTRAL_API_KEY",), "mistral/mistral-large-latest", "mistral/mistral-small-latest"),
    "deepseek": Known(("DEEPSEEK_API_KEY",), "deepseek/deepseek-v4-pro", "deepseek/deepseek-v4-flash"),
}
"""In the order in which they are preferred."""

_ENDINGS = ("_API_KEY", "_API_TOKEN", "_TOKEN", "_KEY")
_NAMED_OTHERWISE: Mapping[str, tuple[str, ...]] = {
    "bedrock": ("AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE"),
    "gemini": ("GOOGLE_API_KEY",),
    "huggingface": ("HF_TOKEN",),
    "vertex_ai": ("GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT"),
}
"""Providers whose variables do not begin with their name."""


def usable() -> list[Known]:
    """The providers whose key is set, in order of preference."""
    return [known for known in PROVIDERS.values() if any(os.environ.get(name) for name in known.variables)]


def has_key(provider: str) -> bool:
    """Whether a variable that looks like this provider's key is set."""
    return any(_provider_of(name) == _bare(provider) or name in _others(provider) for name in names_of_keys())


def names_of_keys() -> list[str]:
    """The names of all variables that look like a provider's key and are not empty; never their values."""
    others = {name for names in _NAMED_OTHERWISE.values() for name in names}
    return sorted(
        name
        for name, value in os.environ.items()
        if value and (name.endswith(("_API_KEY", "_API_TOKEN")) or name in others)
    )


def _others(provider: str) -> tuple[str, ...]:
    # LiteLLM files Google's and Amazon's models under several providers: `vertex_ai-…`, `bedrock_converse`.
    return next((names for kind, names in _NAMED_OTHERWISE.items() if provider.startswith(kind)), ())


def _provider_of(variable: str) -> str:
    for ending in _ENDINGS:
        if variable.endswith(ending):
            return _bare(variable.removesuffix(ending))
    return _bare(variable)


def _bare(name: str) -> str:
    """`together_ai` and `TOGETHERAI`, `fireworks_ai` and `FIREWORKS` are the same."""
    bare = name.lower().replace("_", "").replace("-", "")
    return bare.removesuffix("ai") if len(bare) > len("xai") and bare != "openai" else bare
