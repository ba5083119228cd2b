"""Text that every provider, log and trace can hold: half a surrogate pair becomes U+FFFD, NUL is dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REPLACEMENT = "\ufffd"

# A pair may have been said in two pieces, each half by itself.
_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")
# A backslash that is escaped itself begins no escape; what is named is to be mended.
_NUL_ESCAPES = re.compile(r"(?P<nul>\\u0000)|\\.", re.DOTALL)
_HALF_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def well_formed(text: str) -> str:
    """The text, the same object where there is nothing to mend."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    if "\0" in text:
        text = text.replace("\0", "")
    try:
        # A hundred times faster than to look for halves.
        text.encode()
    except UnicodeEncodeError:
        return _HALVES.sub(_mended, text)
    return text


def _mended(match: re.Match[str]) -> str:
    half_or_pair = match.group()
    if len(half_or_pair) == 1:
        return REPLACEMENT
    return half_or_pair.encode("utf-16", "surrogatepass").decode("utf-16")


def ends_in_half(text: str) -> bool:
    """Whether the text ends in the first half of a pair, so that its next piece may begin with the second."""
    return "\ud800" <= text[-1:] <= "\udbff"


def well_formed_json(text: str) -> str:
    """The same for JSON that was not parsed yet, where halves and NUL may also stand as escapes."""
    text = well_formed(text)
    if "\\u0000" in text:
        text = _NUL_ESCAPES.sub(lambda found: "" if found["nul"] else found.group(), text)
    return (
        _HALF_ESCAPES.sub(lambda found: "\\ufffd" if found["half"] else found.group(), text) if "\\u" in text else text
    )


def well_formed_value(value: Any) -> Any:
    """Strings, lists and mappings with all text in them mended; the same object where there is nothing to mend."""
    try:
        return _mended_value(value)
    except RecursionError:
        # Nested so deep that no encoder takes it.
        return value


def _mended_value(value: Any) -> Any:
    if value.__class__ is str:
        return value if value.isascii() and "\0" not in value else well_formed(value)
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, Mapping):
        if _is_plain_ascii(value):
            return value
        mended = {_mended_value(key): _mended_value(inner) for key, inner in value.items()}
        same = len(mended) == len(value) and all(mended.get(key, _ABSENT) is inner for key, inner in value.items())
        return value if same else mended
    if isinstance(value, list | tuple):
        items = [_mended_value(item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value


def _is_plain_ascii(mapping: Mapping[Any, Any]) -> bool:
    """Whether a mapping is plainly well-formed: ASCII text and nothing below it. Most messages are."""
    for pair in mapping.items():
        for value in pair:
            if value.__class__ is not str:
                if value is not None:
                    return False
            elif not value.isascii() or "\0" in value:
                return False
    return True


_ABSENT = object()
