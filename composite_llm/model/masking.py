"""Hides what looks like a secret, in text that is about to be written somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MASK = "***"

_SECRET_NAME = re.compile(
    r"(^|[_\-\s.])(api[_-]?key|key|token|secret|passw(or)?d|passphrase|pwd|credential|authorization|cookie)s?($|[_\-\s.])",
    re.IGNORECASE,
)
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_TEXT = re.compile(
    r"""
    (?<![A-Za-z0-9])sk-[A-Za-z0-9_\-]{8,}                  # OpenAI, Anthropic, LiteLLM; no `task-management`
    | sk-(?=[A-Za-z_\-]*[0-9])[A-Za-z0-9_\-]{16,}
    | (?:ghp|gho|ghs|ghu|ghr|github_pat)_[A-Za-z0-9_]{16,}
    | (?<![A-Za-z0-9])(?:gsk|hf|r8|fw|npm|glpat|pplx|xai|nvapi|tvly|sk_live|sk_test|rk_live)[_\-][A-Za-z0-9_\-]{16,}
    | xox[abprs]-[A-Za-z0-9-]{8,}                          # Slack
    | (?:AKIA|ASIA)[0-9A-Z]{12,}
    | AIza[0-9A-Za-z_\-]{20,}
    | eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*   # JSON web tokens
    | (?i:bearer)\s+[A-Za-z0-9._~+/=\-]{8,}
    | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)                       # user and password in a URL
    | -----BEGIN[A-Z ]*PRIVATE[ ]KEY-----[\s\S]*?(?:-----END[A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE,
)


_WORDS = (
    "sk", "sk_live", "sk_test", "rk_live", "ghp", "gho", "ghs", "ghu", "ghr", "github_pat", "gsk", "hf", "r8", "fw", "npm",
    "glpat", "pplx", "xai", "nvapi", "tvly", "xoxa", "xoxb", "xoxp", "xoxr", "xoxs",
)  # fmt: skip
"""What stands before the `-` or `_` of a key."""
_LONGEST_WORD = max(map(len, _WORDS))
_MARKS = ("AKIA", "ASIA", "AIza", "eyJ", "://", "-----BEGIN")
_LONG = 100


def _may_hold_a_secret(text: str) -> bool:
    """Whether `_SECRET_TEXT` could find something: in long texts ten times as fast, and most hold nothing of the kind."""
    if len(text) < _LONG or any(mark in text for mark in _MARKS) or "bearer" in text.lower():
        return True
    return any(text.endswith(_WORDS, max(0, end - _LONGEST_WORD), end) for end in _joints(text))


def _joints(text: str) -> Iterator[int]:
    for joint in "-_":
        at = text.find(joint)
        while at >= 0:
            yield at
            at = text.find(joint, at + 1)


def masked_text(text: str) -> str:
    """The text with each thing that looks like a key hidden."""
    return _SECRET_TEXT.sub(MASK, text) if _may_hold_a_secret(text) else text


def masked(value: Any) -> Any:
    """A JSON-like value with secrets hidden: by their look, and by the name they stand under."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {
            masked_text(str(key)): MASK if _names_a_secret(key) and inner not in (None, "") else masked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(inner) for inner in value]
    # What is no JSON is written as text, so it is judged as text.
    return value if value is None or isinstance(value, bool | int | float) else masked_text(str(value))


def _names_a_secret(key: Any) -> bool:
    return isinstance(key, str) and _SECRET_NAME.search(_CAMEL_HUMP.sub("_", key)) is not None
