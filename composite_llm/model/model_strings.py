"""Model strings of composites: `composite/<strategy>/<model>` and `composite/profile/<name>`."""

from __future__ import annotations

COMPOSITE_PREFIX = "composite/"
PROFILE_PREFIX = f"{COMPOSITE_PREFIX}profile/"


def is_composite_model(model: str) -> bool:
    """Whether a model string names a composite."""
    return model.startswith(COMPOSITE_PREFIX)


def profile_model(name: str) -> str:
    """The model string of a profile."""
    return PROFILE_PREFIX + name


def with_composite_prefix(model: str) -> str:
    """The whole model string; LiteLLM hands some of them over without the provider's name."""
    return model if is_composite_model(model) else COMPOSITE_PREFIX + model


def split_composite(model: str) -> tuple[str, str]:
    """The strategy, or `profile`, and what stands behind it; either may be blank. The prefix may be missing."""
    strategy, _, rest = model.removeprefix(COMPOSITE_PREFIX).partition("/")
    return strategy, rest
