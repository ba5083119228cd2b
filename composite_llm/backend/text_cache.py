"""Where text can be kept for a while: what is needed of it, and the form that every process has."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

MAX_ENTRIES = 1024


class TextCache(Protocol):
    """Keeps text under a key. May lose anything at any time; must not raise."""

    async def get(self, key: str) -> str | None:
        """What was put under the key, if it is still there."""
        ...

    async def put(self, key: str, value: str, max_age_s: float) -> None:
        """Keep a value for at most so many seconds."""
        ...


class MemoryTextCache:
    """In this process: bounded, least recently used out first.

    Args:
        max_entries: More push out the oldest.
        clock: Seconds; for tests.
        max_characters: Of all values together; more push out the oldest as well. None for no such limit.
    """

    def __init__(
        self,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
        max_characters: int | None = None,
    ) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._max_characters = max_characters
        self._characters = 0
        self._entries: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> str | None:
        """The value, if it is not too old."""
        entry = self._taken(key)
        if entry is None or entry[0] <= self._clock():
            return None
        self._set(key, entry)
        return entry[1]

    async def put(self, key: str, value: str, max_age_s: float) -> None:
        """Keep a value."""
        self._taken(key)
        self._set(key, (self._clock() + max_age_s, value))
        while len(self._entries) > self._max_entries or self._is_full():
            self._taken(next(iter(self._entries)))

    def _is_full(self) -> bool:
        return self._max_characters is not None and self._characters > self._max_characters

    def _taken(self, key: str) -> tuple[float, str] | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._characters -= len(entry[1])
        return entry

    def _set(self, key: str, entry: tuple[float, str]) -> None:
        self._entries[key] = entry
        self._characters += len(entry[1])
