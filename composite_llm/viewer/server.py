"""The viewer under way, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from composite_llm.observe.store import TraceStore
from composite_llm.viewer.app import viewer_app


@contextlib.asynccontextmanager
async def serving(store: TraceStore, host: str, port: int) -> AsyncIterator[str]:
    """A server at a loopback address; its address. With port 0 the system chooses one.

    Raises:
        OSError: The port is taken.
    """
    runner = web.AppRunner(viewer_app(store), access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0]
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{bound[1]}/"
    finally:
        await runner.cleanup()


async def serve_until_stopped(store: TraceStore, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; `ready` is told the address.

    Raises:
        OSError: The port is taken.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no handlers on a loop; there Ctrl-C ends the program as it always does.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    async with serving(store, host, port) as address:
        ready(address)
        await stopped.wait()
