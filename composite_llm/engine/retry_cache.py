"""The answers that a failed run had already got, kept for a minute in case that the same request is repeated.

LiteLLM's own retries, and those of clients, repeat a whole composite; what has been paid for need not be paid again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from composite_llm.backend.interface import Message, Reply
from composite_llm.model.usage import NO_USAGE

if TYPE_CHECKING:
    from composite_llm.engine.subcall_request import SubcallRequest

MAX_AGE_S = 60.0
MAX_ENTRIES = 256


@dataclass(frozen=True, slots=True)
class _Kept:
    stage: str
    name: str
    messages: Sequence[Message]
    reply: Reply


@dataclass(frozen=True, slots=True)
class CachedAnswers:
    """The answers of one failed run.

    Attributes:
        secret: What its fences were made with; a repeat keeps it, so that its prompts are the same.
    """

    secret: str
    _answers: list[_Kept] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._answers)

    def keep(self, stage: str, name: str, messages: Sequence[Message], reply: Reply) -> None:
        """Remember an answer."""
        self._answers.append(_Kept(stage, name, messages, reply))

    def answer_to(self, subcall: SubcallRequest) -> Reply | None:
        """The answer to the same subcall, already paid for."""
        return self.find(subcall.stage, subcall.name, subcall.messages)

    def find(self, stage: str, name: str, messages: Sequence[Message]) -> Reply | None:
        """The answer to the same prompt, already paid for."""
        for kept in self._answers:
            if (kept.stage, kept.name) == (stage, name) and kept.messages == messages:
                return replace(kept.reply, usage=NO_USAGE, cost_usd=0.0)
        return None


class RetryCache:
    """What failed runs had been answered, by request; each entry is given out once and only for a minute.

    Args:
        clock: Seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, CachedAnswers]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: str, cached_answers: CachedAnswers) -> None:
        """Keep what a failed run was answered."""
        self._entries.pop(key, None)
        self._entries[key] = (self._clock() + MAX_AGE_S, cached_answers)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def take(self, key: str) -> CachedAnswers | None:
        """What the same request was answered before it failed, if that was just now."""
        entry = self._entries.pop(key, None)
        return entry[1] if entry is not None and entry[0] > self._clock() else None
