"""Reviewers that decline to rank."""

from __future__ import annotations

import re

_REFUSAL = re.compile(
    r"(?<!\w)I(?:['\u2019]m|[ \t]+am)[ \t]+(?:unable|not[ \t]+able|not[ \t]+comfortable)(?!\w)"
    r"|(?<!\w)I[ \t]+(?:can[ \t]?not|can['\u2019]?t|could[ \t]?n[o'\u2019]t|won['\u2019]?t|will[ \t]+not)[ \t]+"
    r"(?:\w{1,15}[ \t]+){0,3}(?:rank|evaluat|judg|compar|assess|assist|help|choos|provid|comply|scor|review|do\b)"
    r"|(?<!\w)I[ \t]+(?:must[ \t]+|have[ \t]+to[ \t]+)?(?:decline|refuse|abstain)(?!\w)"
    r"|(?<!\w)as[ \t]+an[ \t]+(?:AI|artificial)(?!\w)|(?<!\w)as[ \t]+a[ \t]+(?:large[ \t]+)?language[ \t]+model",
    re.IGNORECASE,
)


def refuses(text: str) -> bool:
    """Whether the text declines to rank anywhere."""
    return _REFUSAL.search(text) is not None
