"""The environment of every test: no key, no proxy and no network; one fake upstream for all of a session's tests."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support import litellm_callbacks
from tests.support.litellm_clients import ClosingLoop

if TYPE_CHECKING:
    from fake_server import ThreadedServer

_KEY_SUFFIXES = ("_API_KEY", "_API_BASE", "_BASE_URL", "_API_TOKEN", "_PROXY")
_KEY_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "VERTEX", "COMPOSITE_LLM_")

# LiteLLM reads it when it is imported; without it the import fetches a price list.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
for name in list(os.environ):
    if name.upper().endswith(_KEY_SUFFIXES) or name.upper().startswith(_KEY_PREFIXES):
        del os.environ[name]

# A shell starts what it puts into the background deaf to Ctrl-C, and all that we start would inherit it.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # LiteLLM's sync calls ask for this thread's loop; asyncio would make one for them that nobody closes.
    asyncio.set_event_loop(None)

# A busy machine is no failed property; what hangs is caught by the time limit of the test.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], ClosingLoop]]:
    """Loops that leave nothing of LiteLLM's behind."""
    return {"closing": ClosingLoop}


@pytest.fixture(autouse=True)
def _callbacks_of_one_test() -> Iterator[None]:
    """A Router leaves its callbacks behind, and LiteLLM takes no more than a hundred."""
    before = litellm_callbacks.registered()
    yield
    litellm_callbacks.restore(before)


@pytest.fixture(autouse=True)
def _levels_of_loggers() -> Iterator[None]:
    """A command that a test runs within the process silences loggers."""
    loggers = [logging.getLogger(name) for name in ("composite_llm", "LiteLLM", "LiteLLM Router", "LiteLLM Proxy")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def provider() -> None:
    """The provider is registered in LiteLLM."""
    import composite_llm

    composite_llm.register()


@pytest.fixture(scope="session")
def _fake() -> Iterator[ThreadedServer]:
    import fake_server

    with fake_server.running_in_thread() as running:
        yield running


@pytest.fixture
def server(_fake: ThreadedServer, provider: None) -> Iterator[ThreadedServer]:
    """The session's upstream with an empty ledger and no scenario; afterwards nobody may still be asking it."""
    import composite_llm

    _fake.reset_scenarios()
    _fake.ledger.clear()
    # One test's failures are not the next one's.
    composite_llm.reset_breakers()
    yield _fake
    for thread in threading.enumerate():
        if thread.name == "composite_llm ollama":
            # It asks what an Ollama model can, beside the run, and the next test's ledger would show it.
            thread.join()
    _fake.wait_until(lambda ledger: ledger.open_requests == 0)
