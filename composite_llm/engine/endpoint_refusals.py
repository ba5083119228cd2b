"""What endpoints were found to refuse, so that it is not sent to them again and again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from composite_llm.model.errors import Restriction

MAX_AGE_S = 3600.0
"""A server may have been started anew since, with another template or window."""
MAX_ENTRIES = 1000
"""So many models and endpoints are remembered at most: a caller may name ever new ones."""


@dataclass(slots=True)
class _Entry:
    until: float
    restrictions: set[Restriction] = field(default_factory=set)
    window: int | None = None


class EndpointRefusals:
    """By model and endpoint. Only what a repeated request has proved is put in: a refusal may quote the caller's own text.

    Args:
        clock: Seconds; not the event loop's, since this outlives loops.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[tuple[str, str | None], _Entry] = OrderedDict()

    def restrictions(self, model: str, endpoint: str | None) -> frozenset[Restriction]:
        """What requests must do without."""
        entry = self._found(model, endpoint)
        return frozenset(entry.restrictions) if entry is not None else frozenset()

    def window(self, model: str, endpoint: str | None) -> int | None:
        """The context window that a refusal has named, in tokens as `count_tokens` counts them."""
        entry = self._found(model, endpoint)
        return entry.window if entry is not None else None

    def learn(
        self, model: str, endpoint: str | None, restrictions: Iterable[Restriction], window: int | None = None
    ) -> None:
        """Remember what a request that was refused lacked to be answered."""
        key = (model, endpoint)
        entry = self._found(model, endpoint) or _Entry(0.0)
        entry.until = self._clock() + MAX_AGE_S
        entry.restrictions |= set(restrictions)
        entry.window = window or entry.window
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def reset(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def _found(self, model: str, endpoint: str | None) -> _Entry | None:
        entry = self._entries.get((model, endpoint)) if self._entries else None
        return entry if entry is not None and entry.until > self._clock() else None
