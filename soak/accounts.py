"""The books of the storm: what each run's trace tells, beside what the server counted for its question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from composite_llm.model.trace import Trace
from soak.asking import NESTED

_NUMBER = re.compile(r"Question (\d+): which bridge")


@dataclass
class Account:
    """One run.

    Attributes:
        attempts: That left, by its trace.
        abandoned: Those of them that were not needed any more: what the server answered to them, if they reached it at
            all, nobody was told.
        traced_tokens: By its trace.
        requests: That arrived.
        counted: Tokens that the server counted, by request.
    """

    attempts: int = 0
    abandoned: int = 0
    traced_tokens: int = 0
    requests: int = 0
    counted: list[int] = field(default_factory=list)

    def trace(self, trace: Trace) -> None:
        """Take in what the run says of itself."""
        self.traced_tokens = trace.usage.total_tokens
        for call in trace.calls:
            for attempt in call.attempts:
                if attempt.error_class != "BreakerOpen" and not attempt.model.startswith(NESTED):
                    self.attempts += 1
                    self.abandoned += attempt.status == "abandoned"

    def problems(self, number: int) -> Iterator[str]:
        """Where the two do not agree to the token."""
        without_usage = sum(self.counted) - self.traced_tokens
        if without_usage < 0 or (without_usage and not self.abandoned):
            yield f"run {number}: {self.traced_tokens} tokens in its trace, {sum(self.counted)} counted"
        elif without_usage > sum(sorted(self.counted, reverse=True)[: self.abandoned]):
            yield f"run {number}: {without_usage} tokens more than its {self.abandoned} abandoned attempts can have taken"
        if not self.attempts - self.abandoned <= self.requests <= self.attempts:
            yield f"run {number}: {self.attempts} attempts in its trace, {self.requests} requests"


@dataclass
class Accounts:
    """All runs of a part of the storm, and the sums of the whole."""

    attempts: int = 0
    abandoned: int = 0
    requests: int = 0
    failed_requests: int = 0
    traced_tokens: int = 0
    counted_tokens: int = 0
    traced_usd: float = 0.0
    degraded: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _open: dict[int, Account] = field(default_factory=dict)

    def run(self, number: int, trace: Trace) -> None:
        """A run has ended."""
        account = self._open.setdefault(number, Account())
        account.trace(trace)
        self.traced_usd += trace.cost_usd or 0.0
        self.degraded.update(reason.partition(":")[0] for reason in trace.degraded)
        if any(attempt.status == "cancelled" for call in trace.calls for attempt in call.attempts):
            self.problems.append(f"run {number} left an attempt as cancelled")

    def close(self, records: Iterable[dict[str, Any]]) -> None:
        """Compare all runs that have ended with what the server wrote down meanwhile."""
        for record in records:
            found = _NUMBER.search(str(record["body"]))
            if found is None:
                self.problems.append(f"request {record['id']} is no run's")
                continue
            account = self._open.setdefault(int(found.group(1)), Account())
            account.requests += 1
            self.failed_requests += record["status"] != 200
            if record["usage"]:
                account.counted.append(record["usage"]["total_tokens"])
        for number, account in self._open.items():
            self.problems += account.problems(number)
            self.attempts += account.attempts
            self.abandoned += account.abandoned
            self.requests += account.requests
            self.traced_tokens += account.traced_tokens
            self.counted_tokens += sum(account.counted)
        self._open.clear()
