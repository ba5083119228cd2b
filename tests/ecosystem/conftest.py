"""What every framework's tests share; run by `make test-ecosystem`, in environments that have the frameworks."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from pytest_asyncio import is_async_test

from fake_server import ThreadedServer
from tests.ecosystem.task import PEOPLE, Upstream

# Read when the frameworks are imported: none of them sends its makers anything.
os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true",
    CREWAI_TRACING_ENABLED="false",
    HF_HUB_OFFLINE="1",
    LANGSMITH_TRACING="false",
    OPENAI_AGENTS_DISABLE_TRACING="1",
    OTEL_SDK_DISABLED="true",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One loop for all: LiteLLM keeps its connections and its logging task per loop."""
    for item in items:
        if is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture
def upstream(server: ThreadedServer) -> Upstream:
    """The models, each framework's own scenario yet to be set."""
    return Upstream(server)


@pytest.fixture
def looked_up() -> list[str]:
    """The cities that the tool was called for."""
    return []


@pytest.fixture
def population(looked_up: list[str]) -> Callable[[str], int]:
    """The tool."""

    def population(city: str) -> int:
        """How many people live in a city."""
        looked_up.append(city)
        return PEOPLE[city]

    return population
