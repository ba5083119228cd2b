"""An event loop in real time whose clock can be put forward: an hour's limit is over when a test says so."""

from __future__ import annotations

import asyncio

from tests.support.litellm_clients import ClosingLoop


class MovingClockLoop(ClosingLoop):
    """A loop that waits as any other, until its clock is put forward."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        super().__init__()

    def time(self) -> float:
        return super().time() + self._ahead_s

    def put_forward(self, seconds: float) -> None:
        """Let every timer that is due by then fire in the loop's next turn, the earliest first."""
        self._ahead_s += seconds


def put_clock_forward(seconds: float) -> None:
    """Put the running loop's clock forward."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MovingClockLoop)
    loop.put_forward(seconds)
