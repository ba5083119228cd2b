"""The time axis of a waterfall. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from composite_llm.model.trace import Trace
from composite_llm.picture.figures import finite

_MOST_TICKS = 8
_SHORTEST_S = 0.001


@dataclass(frozen=True, slots=True)
class Axis:
    """From the run's start to its end, or to the end of what went on after it.

    Attributes:
        length_s: Seconds that the whole width stands for; more than 0.
    """

    length_s: float

    def at(self, moment_s: float) -> float:
        """Where a moment is, in percent of the width; what lies outside is drawn at the edge."""
        return min(100.0, max(0.0, 100.0 * finite(moment_s) / self.length_s))

    @property
    def _step_s(self) -> float:
        return _round_step(self.length_s / (_MOST_TICKS - 1))

    def ticks(self) -> list[float]:
        """Round moments in seconds, from 0, at most eight."""
        return [index * self._step_s for index in range(int(self.length_s / self._step_s + 1e-9) + 1)]

    def tick_label(self, moment_s: float) -> str:
        """A tick's moment, with as many digits as tell the ticks apart."""
        digits = max(0, -math.floor(math.log10(self._step_s) + 1e-9))
        return f"{moment_s:,.{digits}f} s"


def axis_of(trace: Trace) -> Axis:
    """An axis on which everything of the run has a place."""
    ends = [finite(trace.duration_s)]
    for call in trace.calls:
        ends.append(finite(call.start_s) + finite(call.duration_s))
        ends += (finite(attempt.start_s) + finite(attempt.duration_s) for attempt in call.attempts)
    ends += (finite(tool.start_s) + finite(tool.duration_s) for tool in trace.tool_calls)
    return Axis(max([_SHORTEST_S, *ends]))


def _round_step(at_least_s: float) -> float:
    """The next larger of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(at_least_s))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= at_least_s * (1 - 1e-9))
