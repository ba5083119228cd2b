"""JSON as it goes over the wire."""

import json
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_text(value: Any) -> str:
    """Return compact JSON with characters beyond ASCII as they are."""
    return _encode(value)


def json_bytes(value: Any) -> bytes:
    """Return compact JSON in UTF-8; a lone surrogate, which UTF-8 cannot hold, becomes its JSON escape."""
    return _encode(value).encode("utf-8", "backslashreplace")


def raw_bytes(text: str) -> bytes:
    """Return a text that is to be sent as it stands; a lone surrogate becomes its JSON escape."""
    return text.encode("utf-8", "backslashreplace")
