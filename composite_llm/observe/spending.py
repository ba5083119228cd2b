"""The seam between budgets over time and what knows the spending."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Used:
    """What a composite has used of a budget.

    Attributes:
        spent_usd: Spent, runs under way included; what has no known price counts as nothing.
        reserved_usd: What runs under way may still spend under their own `max_cost_usd`.
    """

    spent_usd: float = 0.0
    reserved_usd: float = 0.0

    @property
    def total_usd(self) -> float:
        """Both."""
        return self.spent_usd + self.reserved_usd


class Spending(Protocol):
    """Knows what composites spent, in all processes that share a store."""

    def used(self, model: str, since: datetime) -> Used:
        """What runs of a composite, nested ones included, used that started then or later. Does not raise."""
        ...
