"""Circuit breakers: a model that failed too often just now is not asked for a while (Nygard, "Release It!", 2007)."""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from composite_llm.model.errors import Failure, FailureKind

State = Literal["closed", "open", "half_open"]

COUNTED: frozenset[FailureKind] = frozenset({"unavailable", "timed_out", "malformed"})
"""Failures that say something about the endpoint's health. A 429 does not: it says when to come back."""

MAX_ENTRIES = 1000
"""So many models and endpoints are remembered at most: a caller may name ever new ones."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When breakers open and close.

    Attributes:
        failures: So many failures open one.
        window_s: Within so many seconds.
        open_s: Seconds until one probe is let through; 0 for breakers that never open.
    """

    failures: int = 5
    window_s: float = 60.0
    open_s: float = 30.0


@dataclass(frozen=True, slots=True)
class BreakerState:
    """One breaker as it stands.

    Attributes:
        model: The model string.
        endpoint: Host and port; None where unknown.
        state: `half_open` while its one probe is under way, or may be sent.
        failures: Counted failures within the window.
        opens_again_in_s: Seconds until a probe; None unless open.
    """

    model: str
    endpoint: str | None
    state: State
    failures: int
    opens_again_in_s: float | None


@dataclass(frozen=True, slots=True)
class _Failed:
    at: float
    waited_s: float
    """A time-out says nothing to who waits longer; any other failure is one for everybody."""
    cause: str


@dataclass(slots=True)
class _Breaker:
    failed: deque[_Failed] = field(default_factory=deque)
    opened_at: float | None = None
    why: str = ""
    open_up_to_s: float = math.inf
    """Open for attempts that wait no longer than so many seconds."""
    probing: bool = False

    def forget_before(self, moment: float) -> None:
        while self.failed and self.failed[0].at <= moment:
            self.failed.popleft()

    def told(self, endpoint: str | None) -> str:
        """The failures that open it, in words."""
        last = self.failed[-1]
        alike = [failed for failed in self.failed if failed.cause == last.cause]
        where = f" at {endpoint}" if endpoint else ""
        if len(alike) == 1:
            return f"{last.cause}{where}"
        seconds = last.at - alike[0].at
        return f"{last.cause}{where}, {len(alike)} times in {seconds:.{0 if seconds >= 1 else 1}f} s"

    def agreed_s(self, failures: int) -> float | None:
        """How long so many failed attempts waited at least; None where there are fewer."""
        longest = heapq.nlargest(failures, (failed.waited_s for failed in self.failed))
        return longest[-1] if longest and len(longest) == failures else None


class Breakers:
    """All breakers of a process, one per model and endpoint.

    Args:
        settings: When they open and close.
        clock: Seconds; not the event loop's, since breakers outlive loops.
    """

    def __init__(
        self,
        settings: BreakerSettings = BreakerSettings(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._breakers: dict[tuple[str, str | None], _Breaker] = {}

    def refusal(self, model: str, endpoint: str | None, patience_s: float | None = None) -> Failure | None:
        """Why the model must not be asked now; None if it may be. Letting a probe through counts as asking it.

        Args:
            model: The model string.
            endpoint: Host and port; None where unknown.
            patience_s: How long the attempt would wait; None for ever.
        """
        breaker = self._breakers.get((model, endpoint))
        if breaker is None or breaker.opened_at is None or _seconds(patience_s) > breaker.open_up_to_s:
            return None
        left_s = breaker.opened_at + self.settings.open_s - self._clock()
        if left_s <= 0 and not breaker.probing:
            breaker.probing = True
            return None
        where = f"{endpoint} " if endpoint else ""
        wait = f"for another {left_s:.0f} s" if left_s > 0 else "until its probe is back"
        reason = f"{where}not asked: its breaker is open {wait} (refused: {breaker.why})"
        return Failure("breaker_open", reason, error_class="BreakerOpen")

    def succeeded(self, model: str, endpoint: str | None) -> None:
        """An attempt was answered."""
        self._breakers.pop((model, endpoint), None)

    def failed(
        self,
        model: str,
        endpoint: str | None,
        kind: FailureKind,
        patience_s: float | None = None,
        cause: str | None = None,
    ) -> None:
        """An attempt failed.

        Args:
            model: The model string.
            endpoint: Host and port; None where unknown.
            kind: How it failed.
            patience_s: How long it would have waited; None for ever.
            cause: What happened in a few words, for those who will be refused.
        """
        key = (model, endpoint)
        if kind not in COUNTED:
            # It was reached and it answered: what was wrong was the request.
            self.released(model, endpoint)
            return
        now = self._clock()
        if key not in self._breakers:
            self._make_room(now)
        breaker = self._breakers.setdefault(key, _Breaker())
        waited_s = _seconds(patience_s) if kind == "timed_out" else math.inf
        breaker.failed.append(_Failed(now, waited_s, cause or kind.replace("_", " ")))
        breaker.forget_before(now - self.settings.window_s)
        is_probe = breaker.probing and _seconds(patience_s) <= breaker.open_up_to_s
        agreed_s = waited_s if is_probe else breaker.agreed_s(max(math.ceil(self.settings.failures), 1))
        if agreed_s is not None and waited_s >= agreed_s:
            breaker.opened_at = now if self.settings.open_s > 0 else None
            breaker.why = breaker.told(endpoint)
            breaker.open_up_to_s = agreed_s
        if is_probe:
            breaker.probing = False

    def _make_room(self, now: float) -> None:
        if len(self._breakers) < MAX_ENTRIES:
            return
        over = now - max(self.settings.window_s, self.settings.open_s)
        for key, breaker in list(self._breakers.items()):
            if not breaker.failed or breaker.failed[-1].at <= over:
                self._breakers.pop(key, None)
        while len(self._breakers) >= MAX_ENTRIES:
            # The oldest; it has to fail anew to be skipped again.
            self._breakers.pop(next(iter(self._breakers)), None)

    def released(self, model: str, endpoint: str | None) -> None:
        """An attempt ended without a verdict, cancelled perhaps; another probe may be sent."""
        breaker = self._breakers.get((model, endpoint))
        if breaker is not None:
            breaker.probing = False

    def states(self) -> list[BreakerState]:
        """All that have something to say, the open ones first."""
        now = self._clock()
        states = [
            self._state(model, endpoint, breaker, now) for (model, endpoint), breaker in list(self._breakers.items())
        ]
        return sorted(states, key=lambda state: (state.state == "closed", state.model, state.endpoint or ""))

    def _state(self, model: str, endpoint: str | None, breaker: _Breaker, now: float) -> BreakerState:
        recent = sum(failed.at > now - self.settings.window_s for failed in breaker.failed)
        if breaker.opened_at is None:
            return BreakerState(model, endpoint, "closed", recent, None)
        left_s = breaker.opened_at + self.settings.open_s - now
        if breaker.probing or left_s <= 0:
            return BreakerState(model, endpoint, "half_open", recent, None)
        return BreakerState(model, endpoint, "open", recent, left_s)

    def reset(self) -> None:
        """Forget everything."""
        self._breakers.clear()


def _seconds(patience_s: float | None) -> float:
    return math.inf if patience_s is None else patience_s
