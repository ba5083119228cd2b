"""What several runs of one request may use together."""

from __future__ import annotations

from composite_llm.config.options import Options
from composite_llm.engine.budget import Budget


class SharedLimits:
    """The strictest caps so far of the runs that one request causes, and what they have used up.

    A proxy repeats a run that failed, and asks another deployment or model in its place; each of them counts here.
    """

    def __init__(self) -> None:
        self.budget = Budget()
        """Of all of them; the parent of each run's own."""
        self.deadline: float | None = None
        """On the clock of the runs; None while none of them has a limit."""
        self._began: float | None = None

    def hold(self, options: Options, timeout_s: float | None, now: float) -> None:
        """Take over the caps of a run that starts now.

        Args:
            options: With the caps on calls and money.
            timeout_s: What the operator allows one run, not what a client asked for: each of the calls that a client
                has repeated may have its own share of it.
            now: On the clock of the runs.

        Raises:
            BudgetExceeded: The runs before it have used up what it may.
        """
        self._began = now if self._began is None else self._began
        self.budget.lower(options.max_calls, options.max_cost_usd)
        if timeout_s is not None:
            ends = self._began + timeout_s
            self.deadline = ends if self.deadline is None else min(self.deadline, ends)
        self.budget.check()
