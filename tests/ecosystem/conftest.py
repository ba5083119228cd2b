"""What every framework's tests share; run by `make test-ecosystem`, in environments that have the frameworks."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable

import pytest
from pytest_asyncio import is_async_test

from fake_server import ThreadedServer
from tests.ecosystem.task import PEOPLE, Upstream

_TEST_TIMEOUT_S = 180
# DSPy's cache and CrewAI's databases: none may meet the next run, or lie about in the home of who runs the tests.
_home = tempfile.TemporaryDirectory(prefix="ecosystem-home-", ignore_cleanup_errors=True)

# Read when the frameworks are imported: none of them sends its makers anything.
os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true",
    CREWAI_TRACING_ENABLED="false",
    HOME=_home.name,
    HF_HUB_OFFLINE="1",
    LANGSMITH_TRACING="false",
    OPENAI_AGENTS_DISABLE_TRACING="1",
    OTEL_SDK_DISABLED="true",
    XDG_CACHE_HOME=f"{_home.name}/.cache",
    XDG_CONFIG_HOME=f"{_home.name}/.config",
    XDG_DATA_HOME=f"{_home.name}/.local/share",
)


def pytest_configure(config: pytest.Config) -> None:
    """The frameworks' warnings are their makers' to mend; what ours say is an error in all other tests."""
    config.addinivalue_line("filterwarnings", "ignore")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One loop for all async tests, since LiteLLM keeps its connections per loop; and time to import a framework."""
    for item in items:
        item.add_marker(pytest.mark.timeout(_TEST_TIMEOUT_S))
        if is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_unconfigure() -> None:
    """LiteLLM's logging tasks outlive their loops; asyncio would say so after pytest's last line."""
    logging.getLogger("asyncio").disabled = True


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
