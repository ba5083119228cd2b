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
    "anthropic": Known(("ANTHROPIC_API_KEY",), "anthropic/claude-sonnet-4-5", "anthropic/claude-haiku-4-5"),
    "gemini": Known(("GEMINI_API_KEY", "GOOGLE_API_KEY"), "gemini/gemini-2.5-pro", "gemini/gemini-2.5-flash"),
    "mistral": Known(("MISTRAL_API_KEY",), "mistral/mistral-large-latest", "mistral/mistral-small-latest"),
    "deepseek": Known(("DEEPSEEK_API_KEY",), "deepseek/deepseek-chat", "deepseek/deepseek-chat"),
}
"""In the order in which they are preferred."""

_KEY_ENDINGS = ("_API_KEY", "_API_TOKEN")
_OTHER_KEYS = ("AWS_ACCESS_KEY_ID", "GOOGLE_APPLICATION_CREDENTIALS", "HF_TOKEN", "DATABRICKS_TOKEN", "GITHUB_API_KEY")


def usable() -> list[Known]:
    """The providers whose key is set, in order of preference."""
    return [known for known in PROVIDERS.values() if any(os.environ.get(name) for name in known.variables)]


def names_of_keys() -> list[str]:
    """The names of all variables that look like a provider's key and are not empty; never their values."""
    return sorted(
        name for name, value in os.environ.items() if value and (name.endswith(_KEY_ENDINGS) or name in _OTHER_KEYS)
    )
