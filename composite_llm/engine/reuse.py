"""Deliberations kept for the tool steps that follow them: one deliberation per user turn, not one per step."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from composite_llm.backend.interface import Message
from composite_llm.messages import last_user_index

MAX_AGE_S = 3600.0
MAX_ENTRIES = 1024


class ReuseStore(Protocol):
    """Where deliberations are kept, as JSON text. May lose anything at any time; must not raise."""

    async def get(self, key: str) -> str | None:
        """What was put under the key, if it is still there."""
        ...

    async def put(self, key: str, value: str, max_age_s: float) -> None:
        """Keep a value for at most so many seconds."""
        ...


class MemoryStore:
    """In this process: bounded, least recently used out first.

    Args:
        max_entries: More push out the oldest.
        clock: Seconds; for tests.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> str | None:
        """The value, if it is not too old."""
        entry = self._entries.pop(key, None)
        if entry is None or entry[0] <= self._clock():
            return None
        self._entries[key] = entry
        return entry[1]

    async def put(self, key: str, value: str, max_age_s: float) -> None:
        """Keep a value."""
        self._entries.pop(key, None)
        self._entries[key] = (self._clock() + max_age_s, value)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)


def is_tool_step(messages: Sequence[Message]) -> bool:
    """Whether the conversation is in the middle of a user turn: a tool has answered since the user last spoke."""
    start = last_user_index(messages)
    behind = messages if start is None else messages[start + 1 :]
    return any(message["role"] in ("tool", "function") for message in behind)


def turn_key(messages: Sequence[Message], settings: Mapping[str, Any], identity: str | None) -> str:
    """One user turn of one caller under one configuration, as a digest.

    Cache marks do not count: agents move them along from step to step.

    Args:
        messages: The conversation; what follows the last user message is left out.
        settings: Everything else that decides what a deliberation comes to.
        identity: Who asks, so that callers never share.
    """
    end = last_user_index(messages)
    turn = list(messages) if end is None else list(messages[: end + 1])
    text = json.dumps([_unmarked(turn), settings, identity], sort_keys=True, default=str)
    return "composite_llm:turn:" + hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


def _unmarked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _unmarked(inner) for key, inner in value.items() if key != "cache_control"}
    if isinstance(value, list):
        return [_unmarked(inner) for inner in value]
    return value
