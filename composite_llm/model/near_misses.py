"""Did you mean: names near a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable

_UNIT_SUFFIXES = ("_s", "_usd")
_MOST_EDITS = 2
_COMPARED_CHARACTERS = 80


def edit_distance(left: str, right: str) -> int:
    """Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours (Damerau 1964)."""
    before_last: list[int] = []
    last = list(range(len(right) + 1))
    for row, char in enumerate(left, start=1):
        current = [row]
        for column, other in enumerate(right, start=1):
            cost = min(last[column] + 1, current[-1] + 1, last[column - 1] + (char != other))
            if row > 1 and column > 1 and char == right[column - 2] and left[row - 2] == other:
                cost = min(cost, before_last[column - 2] + 1)
            current.append(cost)
        before_last, last = last, current
    return last[-1]


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is most likely a misspelling of, or None.

    A name without its unit (`max_cost` for `max_cost_usd`) counts, since ignoring it could cost money.
    """
    candidates = list(known)
    for candidate in candidates:
        if any(name + suffix == candidate for suffix in _UNIT_SUFFIXES):
            return candidate
    lowered = name.lower().replace("-", "_")
    # A name of another length is farther away than any misspelling; comparing megabytes of it would take minutes.
    candidates = [candidate for candidate in candidates if abs(len(candidate) - len(lowered)) <= _MOST_EDITS]
    best = min(candidates, key=lambda candidate: edit_distance(lowered, candidate), default=None)
    if best is None:
        return None
    allowed = _MOST_EDITS if len(best) > 5 else 1
    return best if edit_distance(lowered, best) <= allowed else None


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Known names, nearest first, for a message."""
    start = name[:_COMPARED_CHARACTERS]
    return sorted(known, key=lambda candidate: (edit_distance(start, candidate), candidate))[:most]
