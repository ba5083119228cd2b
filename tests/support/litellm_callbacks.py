"""LiteLLM's lists of callbacks, among which it moves them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

_KINDS = ("input", "success", "failure")
_NAMES = (
    "callbacks",
    "service_callback",
    *(f"{kind}_callback" for kind in _KINDS),
    *(f"_async_{kind}_callback" for kind in _KINDS),
)


def registered() -> dict[str, list[Any]]:
    """What is in each list; nothing where LiteLLM is not loaded."""
    litellm = sys.modules.get("litellm")
    return {name: list(getattr(litellm, name)) for name in _NAMES if hasattr(litellm, name)}


def restore(before: Mapping[str, list[Any]]) -> None:
    """Make the lists what they were."""
    for name, callbacks in before.items():
        getattr(sys.modules["litellm"], name)[:] = callbacks
