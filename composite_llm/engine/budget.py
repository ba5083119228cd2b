"""Hard caps of one run, nested runs included."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from composite_llm.model.errors import BudgetExceeded

_ROUNDING_USD = 1e-12


@dataclass(slots=True, eq=False)
class Reservation:
    """What an attempt under way may cost at most.

    Attributes:
        cost_usd: A bound that was easy to find.
        exact: Finds a tighter one; None when that has been done.
    """

    cost_usd: float
    exact: Callable[[], float] | None = None

    def tighten(self) -> None:
        """Take the tighter bound."""
        if self.exact is not None:
            self.cost_usd, self.exact = self.exact(), None


class Budget:
    """Counts calls and money; refuses the call that would go over a cap.

    Args:
        max_calls: Attempts of the whole run; None for no cap.
        max_cost_usd: US dollars of the whole run; None for no cap.
        parent: The budget of the run this one is nested in; its caps hold too.
    """

    def __init__(
        self, max_calls: int | None = None, max_cost_usd: float | None = None, parent: Budget | None = None
    ) -> None:
        self._max_calls = max_calls
        self._max_cost_usd = max_cost_usd
        self._parent = parent
        self._calls = 0
        self._costs: list[float] = []
        self._known_usd = 0.0
        self._all_known = True
        self._reserved: list[Reservation] = []
        self.refusal: BudgetExceeded | None = None
        """The last call that was refused, and by which cap."""

    def lower(self, max_calls: int | None, max_cost_usd: float | None) -> None:
        """Take over caps that are lower than the present ones."""
        calls = [cap for cap in (self._max_calls, max_calls) if cap is not None]
        costs = [cap for cap in (self._max_cost_usd, max_cost_usd) if cap is not None]
        self._max_calls, self._max_cost_usd = min(calls, default=None), min(costs, default=None)

    @property
    def calls(self) -> int:
        """Attempts started."""
        return self._calls

    @property
    def spent_usd(self) -> float | None:
        """Money spent; None when some of it has an unknown price."""
        return math.fsum(self._costs) if self._all_known else None

    @property
    def cost_left_usd(self) -> float | None:
        """Money that nothing has been spent or is reserved of, under own cap and inherited ones; None without a cap."""
        own = self._own_left_usd
        above = self._parent.cost_left_usd if self._parent is not None else None
        return min((left for left in (own, above) if left is not None), default=None)

    @property
    def _own_left_usd(self) -> float | None:
        if self._max_cost_usd is None:
            return None
        reserved = sum(reservation.cost_usd for reservation in self._reserved)
        return max(self._max_cost_usd - self._known_usd - reserved, 0.0)

    @property
    def calls_left(self) -> int | None:
        """Attempts that may still start: own cap and inherited ones."""
        own = None if self._max_calls is None else max(self._max_calls - self._calls, 0)
        above = self._parent.calls_left if self._parent is not None else None
        return min((left for left in (own, above) if left is not None), default=None)

    def check(self) -> None:
        """Refuse when a cap is already reached.

        Raises:
            BudgetExceeded: with the cap that is.
        """
        if self._parent is not None:
            self._parent.check()
        if self._max_calls is not None and self._calls >= self._max_calls:
            raise BudgetExceeded("max_calls", self._max_calls, self._calls)
        if self._max_cost_usd is not None and self._known_usd >= self._max_cost_usd:
            raise BudgetExceeded("max_cost_usd", self._max_cost_usd, self._known_usd)

    def exceeded_by(self, worst_cost_usd: float | None) -> BudgetExceeded:
        """The error for a next step that does not fit, with the cap that forbids it."""
        self.check()
        if self.calls_left is not None and self.calls_left < 1:
            return BudgetExceeded("max_calls", self._max_calls or 0, self._calls)
        next_step = f", and the next call may cost ${worst_cost_usd:.6f}" if worst_cost_usd is not None else ""
        tightest = self._tightest()
        limit = tightest._max_cost_usd or 0.0
        return BudgetExceeded("max_cost_usd", limit, tightest._known_usd, next_step, reached=False)

    def _tightest(self) -> Budget:
        """Whose cap on money leaves the least, of this run and those around it."""
        above = self._parent._tightest() if self._parent is not None else self
        own = self._own_left_usd
        theirs = above._own_left_usd
        return above if own is None or (theirs is not None and theirs < own) else self

    def reserve(self, at_most_usd: float, exact: Callable[[], float]) -> Reservation:
        """Set aside what an attempt may cost; `release` it when what it did cost is known.

        Args:
            at_most_usd: A bound that was easy to find.
            exact: A tighter one, asked for only if money is short.

        Raises:
            BudgetExceeded: Not even the tighter one fits beside what is under way.
        """
        wanted = Reservation(at_most_usd, exact)
        if not self._has_room_for(wanted):
            wanted.tighten()
            self._tighten_all()
            if not self._has_room_for(wanted):
                raise self.exceeded_by(wanted.cost_usd)
        budget: Budget | None = self
        while budget is not None:
            budget._reserved.append(wanted)
            budget = budget._parent
        return wanted

    def release(self, reservation: Reservation) -> None:
        """Give back what was set aside; the attempt is over."""
        if reservation in self._reserved:
            self._reserved.remove(reservation)
        if self._parent is not None:
            self._parent.release(reservation)

    def _has_room_for(self, reservation: Reservation) -> bool:
        left = self.cost_left_usd
        return left is None or reservation.cost_usd <= left + _ROUNDING_USD

    def _tighten_all(self) -> None:
        for reservation in self._reserved:
            reservation.tighten()
        if self._parent is not None:
            self._parent._tighten_all()  # the same class

    def start_call(self) -> None:
        """Count one attempt.

        Raises:
            BudgetExceeded: It would be one too many.
        """
        self.check()
        self._count_call()

    def _count_call(self) -> None:
        self._calls += 1
        if self._parent is not None:
            self._parent._count_call()  # the same class

    def charge(self, cost_usd: float | None) -> None:
        """Add what an attempt cost; None for an unknown price."""
        if cost_usd is None:
            self._all_known = False
        else:
            # Asked for before each attempt, so it is not added up anew.
            self._known_usd += cost_usd
            self._costs.append(cost_usd)
        if self._parent is not None:
            self._parent.charge(cost_usd)
