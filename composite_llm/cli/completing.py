"""What the shell offers behind an option; LiteLLM is never loaded for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from composite_llm.model.model_strings import profile_model


def complete_profile(incomplete: str) -> list[str]:
    """Profiles of the default configuration."""
    return [name for name in _profiles() if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Models that the configuration names, its profiles, and those that the command would pick itself."""
    from composite_llm.cli.keys import PROVIDERS

    named = {model for profile in _profiles().values() for model in _models_in(profile)}
    known = {model for provider in PROVIDERS.values() for model in (provider.strong, provider.small)}
    profiles = {profile_model(name) for name in _profiles()}
    return sorted(model for model in named | known | profiles if model.startswith(incomplete))


def complete_provider(incomplete: str) -> list[str]:
    """The providers that the command can pick models of; LiteLLM knows more, and takes seconds to load."""
    from composite_llm.cli.keys import PROVIDERS

    return [name for name in PROVIDERS if name.startswith(incomplete)]


def complete_strategy(incomplete: str) -> list[str]:
    """Names of strategies."""
    from composite_llm.config.registry import STRATEGIES

    return [name for name in STRATEGIES if name.startswith(incomplete)]


def complete_option(incomplete: str) -> list[str]:
    """Names of options, with the sign that follows them."""
    from composite_llm.config.registry import ALL_OPTIONS

    return sorted(f"{name}=" for name in ALL_OPTIONS if name.startswith(incomplete))


def _profiles() -> dict[str, Any]:
    """As written, unchecked: a file with a mistake in one place should still complete."""
    import yaml

    from composite_llm.config.profiles import default_path

    with contextlib.suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        path = default_path()
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path is not None else None
        profiles = content.get("profiles", content) if isinstance(content, dict) else None
        if isinstance(profiles, dict):
            return {str(name): profile for name, profile in profiles.items()}
    return {}


def _models_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "model" and isinstance(inner, str):
                yield inner
            elif isinstance(inner, dict | list):
                yield from _models_in(inner)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, str):
                yield inner
            else:
                yield from _models_in(inner)
