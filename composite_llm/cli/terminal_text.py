"""Text of models on a terminal: what they write must not move the cursor, change colours or set a title."""

from __future__ import annotations

import re

# C0 without tab and line feed, DEL and C1; the escape that begins every control sequence is among them.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """The text without control characters."""
    return _CONTROL.sub("", text)
