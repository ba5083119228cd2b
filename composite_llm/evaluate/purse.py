"""A cap on money that holds although many requests run at once."""

from __future__ import annotations

import asyncio
import math


class Purse:
    """Money that is set aside before a request and paid after it.

    Args:
        cap_usd: US dollars that all requests together may cost; None for no cap.
        spent_usd: What was spent before.

    Attributes:
        spent_usd: What was paid until now.
        unpriced: How many requests were paid whose price is unknown; they count as nothing in `spent_usd`.
    """

    def __init__(self, cap_usd: float | None = None, spent_usd: float = 0.0) -> None:
        self.cap_usd = cap_usd
        self.spent_usd = spent_usd
        self.unpriced = 0
        self._set_aside: list[float] = []
        self._changed = asyncio.Condition()

    async def set_aside(self, worst_usd: float) -> bool:
        """Wait until there is room for a request that may cost so much; False when there will never be."""
        if self.cap_usd is None:
            return True
        async with self._changed:
            while self._free() < worst_usd:
                if not self._set_aside:
                    return False
                await self._changed.wait()
            self._set_aside.append(worst_usd)
        return True

    def _free(self) -> float:
        assert self.cap_usd is not None
        return self.cap_usd - self.spent_usd - math.fsum(self._set_aside)

    async def pay(self, worst_usd: float, cost_usd: float | None) -> None:
        """A request that money was set aside for is over."""
        self.unpriced += cost_usd is None
        self.spent_usd += cost_usd or 0.0
        if self.cap_usd is None:
            return
        async with self._changed:
            self._set_aside.remove(worst_usd)
            self._changed.notify_all()
