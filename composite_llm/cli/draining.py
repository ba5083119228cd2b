"""Ctrl-C in a command that does many things: the first lets what is under way come to its end, the second cancels it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stopped_by_interrupt() -> Iterator[asyncio.Event]:
    """An event that the first Ctrl-C, or a SIGTERM, sets; to be entered inside a running loop."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    running = asyncio.current_task()
    assert running is not None

    def interrupted() -> None:
        if stop.is_set():
            running.cancel()
            return
        stop.set()
        print("Stopping: what is under way comes to its end; once more to cancel it.", file=sys.stderr)

    signals = (signal.SIGINT, signal.SIGTERM)
    # Windows' loops have no handlers: there Ctrl-C cancels at once.
    with contextlib.suppress(NotImplementedError):
        for number in signals:
            loop.add_signal_handler(number, interrupted)
    try:
        yield stop
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in signals:
                loop.remove_signal_handler(number)
