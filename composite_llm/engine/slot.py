"""A place among the attempts that may be in flight at once."""

from __future__ import annotations

import asyncio
from typing import Any, Self


class Slot:
    """Held from `async with` on, until its end or until it is given back.

    Args:
        limiter: Who hands out the places; None for no limit.
    """

    def __init__(self, limiter: asyncio.Semaphore | None) -> None:
        self._limiter = limiter
        self._held = False

    async def __aenter__(self) -> Self:
        if self._limiter is not None:
            await self._limiter.acquire()
            self._held = True
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.release()

    def release(self) -> None:
        """Let others have it."""
        if self._held and self._limiter is not None:
            self._held = False
            self._limiter.release()
