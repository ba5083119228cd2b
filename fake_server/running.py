"""Servers inside this process: one for coroutines, one with a thread of its own."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

from fake_server.app import make_runner, open_connections
from fake_server.control import stats
from fake_server.ledger import Ledger
from fake_server.scenario import parse_scenario
from fake_server.state import State, make_state

Scenarios = Mapping[str, Mapping[str, Any]]
_POLL_S = 0.002
_CANCELLED_TASK_TURNS = 5


class RunningServer:
    """A server that listens."""

    def __init__(self, state: State, runner: web.AppRunner, url: str) -> None:
        """Use :func:`running` or :func:`running_in_thread`."""
        self._state = state
        self._runner = runner
        self.url = url

    @property
    def base_url(self) -> str:
        """The address for an OpenAI client, which ends in ``/v1``."""
        return f"{self.url}/v1"

    @property
    def ledger(self) -> Ledger:
        """The record of all requests."""
        return self._state.ledger

    def stats(self) -> dict[str, Any]:
        """Return what ``GET /stats`` answers."""
        return stats(self._state, lambda: open_connections(self._runner))

    def set_scenario(self, model: str, mapping: Mapping[str, Any]) -> None:
        """Set the scenario of a model or pattern, with fresh counts.

        Raises:
            ScenarioError: when it is wrong.
        """
        self._state.book.set(model, parse_scenario(mapping, model))

    def remove_scenario(self, model: str) -> bool:
        """Remove the scenario of a model; False when there was none."""
        return self._state.book.remove(model)

    def reset_scenarios(self) -> None:
        """Go back to the scenarios of the start."""
        self._state.book.reset()

    async def until(self, condition: Callable[[Ledger], bool], timeout_s: float = 20.0) -> None:
        """Wait until the ledger meets a condition.

        Raises:
            TimeoutError: when it never does.
        """
        async with asyncio.timeout(timeout_s):
            # Polled: a condition may look at anything in the records, chunks written included.
            while not condition(self.ledger):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)


class ThreadedServer(RunningServer):
    """A server whose loop runs in another thread."""

    def wait_until(self, condition: Callable[[Ledger], bool], timeout_s: float = 20.0) -> None:
        """Block until the ledger meets a condition.

        Raises:
            TimeoutError: when it never does.
        """
        deadline = time.monotonic() + timeout_s
        while not condition(self.ledger):
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(_POLL_S)


@asynccontextmanager
async def running(
    *, scenarios: Scenarios | None = None, api_key: str | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[RunningServer]:
    """Run a server on this loop."""
    state = make_state(scenarios, api_key)
    async with _serving(state, host, port) as (runner, url):
        yield RunningServer(state, runner, url)


@contextmanager
def running_in_thread(
    *, scenarios: Scenarios | None = None, api_key: str | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[ThreadedServer]:
    """Run a server on a loop in a daemon thread."""
    state = make_state(scenarios, api_key)
    started: Future[tuple[ThreadedServer, Callable[[], None]]] = Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve_until_stopped(state, host, port, started)), name="fake-server", daemon=True
    )
    thread.start()
    try:
        server, stop = started.result()
        try:
            yield server
        finally:
            stop()
    finally:
        thread.join()


async def _serve_until_stopped(
    state: State, host: str, port: int, started: Future[tuple[ThreadedServer, Callable[[], None]]]
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        async with _serving(state, host, port) as (runner, url):
            started.set_result((ThreadedServer(state, runner, url), lambda: _stop(loop, stopped)))
            await stopped.wait()
    except BaseException as error:
        if started.done():
            raise
        # The thread that waits raises it.
        started.set_exception(error)


def _stop(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    loop.call_soon_threadsafe(stopped.set)


@asynccontextmanager
async def _serving(state: State, host: str, port: int) -> AsyncIterator[tuple[web.AppRunner, str]]:
    runner = make_runner(state)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        yield runner, _url(runner)
    finally:
        await runner.cleanup()
        # aiohttp cancels the tasks of hanging requests without waiting for their end.
        for _ in range(_CANCELLED_TASK_TURNS):
            await asyncio.sleep(0)


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
