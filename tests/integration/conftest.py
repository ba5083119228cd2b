"""Ways to ask a composite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from fake_server import ThreadedServer
from tests.support import litellm_callbacks
from tests.support.asking import Ask, asking, through
from tests.support.moving_clock import MovingClockLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], MovingClockLoop]]:
    """Loops in real time, unless a test puts the clock forward."""
    return {"moving clock": MovingClockLoop}


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """A loop that outlives the tests: LiteLLM keeps one connection pool per loop."""
    with start_blocking_portal() as running:
        yield running


@pytest.fixture
def ask(server: ThreadedServer) -> Ask:
    """`litellm.completion` from plain code."""
    return asking(server)


@pytest.fixture(params=["completion", "acompletion"])
def ask_both(request: pytest.FixtureRequest, server: ThreadedServer, portal: BlockingPortal) -> Ask:
    """`litellm.completion`, then `litellm.acompletion`."""
    return asking(server, through(portal) if request.param == "acompletion" else None)


@pytest.fixture
def configure(provider: None) -> Iterator[Callable[[Any], None]]:
    """Registers profiles for one test."""
    import composite_llm

    yield lambda config: composite_llm.register(config=config)
    composite_llm.register(config={})


@pytest.fixture
def nobody_listens(provider: None) -> Iterator[None]:
    """No callback is registered in LiteLLM."""
    before = litellm_callbacks.registered()
    litellm_callbacks.restore({name: [] for name in before})
    yield
    litellm_callbacks.restore(before)


@pytest.fixture
def no_cached_answers(provider: None) -> None:
    """No earlier test's failed run, of the same request perhaps, has left answers."""
    from composite_llm import runtime

    runtime._retry_cache._entries.clear()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many cases of the fault matrix ran, in all processes together."""
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, ())]
    cases = sum(value for report in reports for name, value in report.user_properties if name == "fault_cases")
    if cases:
        terminalreporter.write_line(f"fault matrix: {cases} cases ran")
