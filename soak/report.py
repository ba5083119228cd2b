"""What came of a storm."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from soak.accounts import Accounts
from soak.asking import PRICE, Storm
from soak.gauge import Gauge

MEMORY_ALLOWANCE_MB = 30.0
"""Growth in the second half, when every cache is full."""
POOLED_AT_MOST = 40 + min(32, (os.cpu_count() or 1) + 4)
"""Anyio's limit, and asyncio's."""


@dataclass
class Report:
    """What came of it; `problems` is empty when all is well."""

    storm: Storm
    outcomes: Counter[str] = field(default_factory=Counter)
    accounts: Accounts = field(default_factory=Accounts)
    seconds: float = 0.0
    gauges: list[Gauge] = field(default_factory=list)
    closed: Gauge | None = None
    """When LiteLLM's clients are closed."""
    unexpected: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that should not be."""
        return [*self.unexpected, *self.accounts.problems, *self._wrong_sums(), *self._leaks()]

    def _wrong_sums(self) -> Iterator[str]:
        books = self.accounts
        if (runs := sum(self.outcomes.values())) != self.storm.runs:
            yield f"{runs} of {self.storm.runs} runs ended"
        if not self.outcomes["answered"]:
            yield "no run was answered"
        if abs(books.traced_usd - books.traced_tokens * PRICE) > 1e-6:
            yield f"${books.traced_usd:.6f} in traces for {books.traced_tokens} tokens"

    def _leaks(self) -> Iterator[str]:
        first, half, end = self.gauges[0], self.gauges[len(self.gauges) // 2], self.gauges[-1]
        if end.tasks > first.tasks:
            yield f"tasks grew from {first.tasks} to {end.tasks}"
        if end.threads - end.pooled > first.threads - first.pooled:
            yield f"threads grew from {first.threads - first.pooled} to {end.threads - end.pooled} outside of pools"
        if end.pooled > POOLED_AT_MOST:
            yield f"the pools have {end.pooled} threads"
        # The pool keeps idle connections, never more than runs need at once.
        if end.connections > max(first.connections, self.storm.at_once * 4):
            yield f"{end.connections} connections are open"
        if end.memory_mb - half.memory_mb > MEMORY_ALLOWANCE_MB:
            yield f"memory grew from {half.memory_mb:.0f} to {end.memory_mb:.0f} MB"
        if self.closed is not None and self.closed.connections > 1:
            yield f"{self.closed.connections - 1} connections are open though all clients are closed"

    @property
    def text(self) -> str:
        """For people."""
        runs, books = sum(self.outcomes.values()), self.accounts
        share = books.failed_requests / max(books.requests, 1)
        lines = [
            f"{runs} runs in {self.seconds:.1f} s ({runs / max(self.seconds, 1e-9):.0f} a second)",
            "  ended: " + _listed(self.outcomes),
            "  degraded: " + (_listed(books.degraded) or "none"),
            f"  requests: {books.requests}, {share:.1%} of them failed",
            f"  attempts in traces: {books.attempts}, {books.abandoned} of them abandoned",
            f"  tokens: {books.traced_tokens} in traces, {books.counted_tokens} in the ledger; ${books.traced_usd:.6f}",
        ]
        half = self.gauges[len(self.gauges) // 2]
        for name, gauge in (
            ("first", self.gauges[0]),
            ("half", half),
            ("end", self.gauges[-1]),
            ("closed", self.closed),
        ):
            lines.append(f"  {name:>6}: {gauge}")
        return "\n".join([*lines, *([f"WRONG: {problem}" for problem in self.problems] or ["  all is well"])])


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
