"""How fast requests may begin: what was agreed with a provider, and what it says when it was too fast."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from composite_llm.evaluate.asking import RETRYABLE, Reply

_MINUTE_S = 60.0
_LONGEST_DELAY_S = 60.0
_OUR_OWN = frozenset({402})
"""Failures that no waiting mends: a cap of one's own."""


@dataclass(slots=True)
class _Entry:
    """Something of the last minute: when it began, and how much it is."""

    begun: float
    amount: float


@dataclass(slots=True)
class Pace:
    """Requests of one process, so that they keep to the limits of their providers.

    Attributes:
        rpm: Model calls that may begin in a minute; None for no limit.
        tpm: Tokens, prompts and answers, of a minute; None for no limit.
        max_tries: How often one request is tried.
    """

    rpm: float | None = None
    tpm: float | None = None
    max_tries: int = 6
    _begun: deque[_Entry] = field(default_factory=deque)
    _used: deque[_Entry] = field(default_factory=deque)
    _typical_tokens: float = 0.0
    _not_before: float = 0.0

    async def ask(self, send: Callable[[], Awaitable[Reply]], calls: int = 1) -> Reply:
        """Send a request when it may begin, and again when it failed for a reason that passes.

        After a refusal for being too fast nobody begins before the time that the provider named.

        Args:
            send: Sends it.
            calls: How many model calls it will make.

        Returns:
            The last reply, with what all tries cost.
        """
        tries: list[Reply] = []
        while True:
            used = await self._turn(calls)
            reply = await send()
            tries.append(reply)
            used.amount = reply.prompt_tokens + reply.completion_tokens
            self._typical_tokens = used.amount or self._typical_tokens
            if reply.status_code not in RETRYABLE - _OUR_OWN or len(tries) == self.max_tries:
                return _summed(tries)
            delay = reply.retry_after_s
            if delay is None:
                ceiling = min(2.0 ** (len(tries) - 1), _LONGEST_DELAY_S)
                delay = ceiling * random.uniform(0.5, 1.0)  # so that not all come back at once
            if reply.status_code == 429:
                self._not_before = max(self._not_before, self._now() + delay)
            else:
                await asyncio.sleep(delay)

    async def _turn(self, calls: int) -> _Entry:
        """Wait until so many calls may begin, and note that they do; its tokens are a guess until it is over."""
        delay = self._delay(calls)
        while delay > 0:
            await asyncio.sleep(delay)
            # Others may have begun in the meantime.
            delay = self._delay(calls)
        self._begun.append(_Entry(self._now(), calls))
        self._used.append(_Entry(self._now(), self._typical_tokens))
        return self._used[-1]

    def _delay(self, calls: int) -> float:
        now = self._now()
        return max(
            self._not_before - now,
            _until_room(self._begun, self.rpm, calls, now),
            _until_room(self._used, self.tpm, self._typical_tokens, now),
        )

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _until_room(window: deque[_Entry], limit: float | None, wanted: float, now: float) -> float:
    """Seconds until the last minute has room for so much more; what alone is more than the limit waits for an empty one."""
    while window and window[0].begun <= now - _MINUTE_S:
        window.popleft()
    if limit is None:
        return 0.0
    total = sum(entry.amount for entry in window)
    if total + wanted <= limit or not total:
        return 0.0
    for entry in window:
        total -= entry.amount
        if total + wanted <= limit or not total:
            return entry.begun + _MINUTE_S - now
    return 0.0


def _summed(tries: list[Reply]) -> Reply:
    """The last one, with the money and the tokens of all."""
    if len(tries) == 1:
        return tries[0]
    costs = [reply.cost_usd for reply in tries]
    return replace(
        tries[-1],
        seconds=sum(reply.seconds for reply in tries),
        cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        prompt_tokens=sum(reply.prompt_tokens for reply in tries),
        completion_tokens=sum(reply.completion_tokens for reply in tries),
        calls=sum(reply.calls for reply in tries),
    )
