"""Hides what looks like a secret, in text that is about to be written somewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_SECRET_NAME = re.compile(
    r"(^|[_\-\s.])(api[_-]?key|key|token|secret|passw(or)?d|credential|authorization|cookie)s?($|[_\-\s.])",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"""
    sk-[A-Za-z0-9_\-]{8,}                                  # OpenAI, Anthropic, LiteLLM
    | (?:ghp|gho|ghs|ghu|github_pat)_[A-Za-z0-9_]{16,}
    | xox[abprs]-[A-Za-z0-9-]{8,}                          # Slack
    | AKIA[0-9A-Z]{12,}
    | AIza[0-9A-Za-z_\-]{20,}
    | eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*   # JSON web tokens
    | (?i:bearer)\s+[A-Za-z0-9._\-]{8,}
    | -----BEGIN[A-Z ]*PRIVATE[ ]KEY-----[\s\S]*?(?:-----END[A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE,
)


def masked_text(text: str) -> str:
    """The text with each thing that looks like a key hidden."""
    return _SECRET_TEXT.sub(MASK, text)


def masked(value: Any) -> Any:
    """A JSON-like value with secrets hidden: by their look, and by the name they stand under."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {
            key: MASK
            if isinstance(key, str) and _SECRET_NAME.search(key) and inner not in (None, "")
            else masked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(inner) for inner in value]
    return value
