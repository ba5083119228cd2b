"""Ways to ask a composite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from fake_server import ThreadedServer
from tests.support.asking import Ask, asking, through


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
