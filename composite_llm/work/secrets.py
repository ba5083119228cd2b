"""Secrets in text that is about to be stored, logged or sent: by their look, and by the name they are given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from composite_llm import mask_secrets

MASK = "***"

_ASSIGNED = re.compile(
    r"""
    (?P<name>
        (?:api|access|secret|private|auth|account|encryption|signing|client|bearer)[_\-. ]?(?:key|token|secret)s?
      | passwords?|passwd|passphrase|(?<=[_\-])pwd|secrets?|tokens?|credentials?
    )
    (?P<suffix>[A-Za-z0-9]{0,24}+(?:[_\-.][A-Za-z0-9]{1,24}+){0,2}+)
    (?P<mid>["']?\s{0,8}(?::[\w.\[\]|\ ]{1,40}=|:=|=>|[:=])\s{0,8})
    (?: (?P<quote>["'`])(?P<quoted>[^"'`\r\n]{4,512})(?P=quote)
      | (?P<bare>[^\s"'`,;(){}\[\]<>$]{6,512})(?=[\s,;)}\]]|$) )
  | (?P<header>authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:basic|bearer|token|digest)\s{1,4})(?P<sent>[^\s"']{4,2048})
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_WORDS = re.compile(r"key|token|secret|passw|passphrase|pwd|credential|authorization", re.IGNORECASE)
_LIKE_A_VALUE = re.compile(r"[0-9]|[^A-Za-z0-9_.\-]")
"""Without quotes a value that reads like an identifier is code: `password = other_password`."""
_NUMBER = re.compile(r"[0-9._+\-]+")
_NO_SECRET_ITSELF = re.compile(
    r"[_\-.]?(file|path|dir|url|uri|name|id|type|count|limit|size|field|column|env|var)s?", re.IGNORECASE
)


def without_secrets(text: str) -> str:
    """The text with what looks like a secret replaced by `***`."""
    hidden: str = mask_secrets(text)
    return _ASSIGNED.sub(_masked, hidden) if _WORDS.search(hidden) else hidden


def mapping_without_secrets(value: Any) -> Any:
    """The same within a JSON-like value."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {key: mapping_without_secrets(inner) for key, inner in mask_secrets(value).items()}
    if isinstance(value, list | tuple):
        return [mapping_without_secrets(inner) for inner in value]
    return value


def holds_secret(text: str) -> bool:
    """Whether something in the text looks like a secret."""
    return without_secrets(text) != text


def _masked(match: re.Match[str]) -> str:
    if match["header"] is not None:
        return f"{match['header']}{MASK}"
    named, bare = match["name"] + match["suffix"], match["bare"]
    if _NO_SECRET_ITSELF.fullmatch(match["suffix"]):
        return match[0]
    if bare is not None and (not _LIKE_A_VALUE.search(bare) or ("token" in named.lower() and _NUMBER.fullmatch(bare))):
        return match[0]
    mark = match["quote"] or ""
    return f"{named}{match['mid']}{mark}{MASK}{mark}"
