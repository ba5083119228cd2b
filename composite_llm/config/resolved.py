"""A profile as it counts: with every default, and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from composite_llm.config.node import NodeSettings
from composite_llm.config.profiles import Profile
from composite_llm.config.registry import STRATEGIES
from composite_llm.model.masking import MASK, masked

_FROM_ENVIRONMENT = "os.environ/"
_ALL_SECRET = frozenset({"headers", "extra_headers", "default_headers"})
"""Any header may be a key, whatever its name."""


def resolved_profile(profile: Profile) -> dict[str, Any]:
    """The profile's strategy, final model, options with their defaults, and call parameters; secrets are masked."""
    options = STRATEGIES[profile.strategy].model_validate(dict(profile.options))
    # Not `model_dump`: it would write `Node` and `NodeSettings` by the option's type, without a node's own parameters.
    values = {key: _plain(getattr(options, key)) for key in type(options).model_fields}
    shown = {"strategy": profile.strategy, "model": profile.model, **values, **profile.parameters}
    resolved: dict[str, Any] = without_secrets(shown)
    return resolved


def _plain(value: Any) -> Any:
    if isinstance(value, NodeSettings):
        return {**{key: _plain(getattr(value, key)) for key in type(value).model_fields}, **value.params}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def without_secrets(value: Any, name: str = "") -> Any:
    """The value with secrets masked, however deep they lie; the name of a variable that holds one is none."""
    if isinstance(value, Mapping):
        return {
            str(key): without_secrets(inner, name if name in _ALL_SECRET else str(key)) for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(inner, name) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    if text.startswith(_FROM_ENVIRONMENT):
        return text
    return MASK if name in _ALL_SECRET else masked({name: text})[name]
