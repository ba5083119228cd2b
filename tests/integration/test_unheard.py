"""LiteLLM's records of calls are left out where nobody would be told of them, and only there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import litellm
import pytest
from anyio.from_thread import BlockingPortal
from litellm.integrations.custom_logger import CustomLogger
from litellm.utils import custom_llm_setup

import composite_llm
from fake_server import ThreadedServer
from tests.support.asking import FINAL, FIRST, KEY, MESSAGES, MOA, SECOND, at

RECORD = "get_standard_logging_object_payload"


class Records:
    """How many records LiteLLM made on this thread."""

    def __init__(self) -> None:
        self.made = 0

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        self.made += event == "call" and frame.f_code.co_name == RECORD


async def settled() -> None:
    """LiteLLM's queue has been worked off."""
    for _ in range(200):
        await asyncio.sleep(0)


@pytest.fixture
def records(server: ThreadedServer, portal: BlockingPortal) -> Callable[..., int]:
    """`records(**options)`: how many LiteLLM made for one composite of two proposers."""

    async def counted(options: dict[str, Any]) -> int:
        call = {"model": MOA, "messages": MESSAGES, "api_base": server.base_url, "api_key": KEY}
        await settled()
        records, before = Records(), sys.getprofile()
        sys.setprofile(records.note)
        try:
            with contextlib.suppress(Exception):  # a failure is recorded too
                await litellm.acompletion(**{**call, "proposers": [FIRST, SECOND], **options})
            await settled()
        finally:
            sys.setprofile(before)
        return records.made

    return lambda **options: portal.call(counted, options)


pytestmark = pytest.mark.usefixtures("nobody_listens")


class Told(CustomLogger):
    """An application's callback."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[str] = []

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.models.append(kwargs["model"])


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    litellm.callbacks.append(told)
    yield told
    litellm.logging_callback_manager.remove_callback_from_all_lists(told)


def test_nothing_is_recorded_where_no_callback_would_see_it(records: Callable[..., int]) -> None:
    assert records() == 0


def test_a_failed_attempt_is_not_recorded_either(records: Callable[..., int], server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 400}})
    assert records() == 0


def test_a_callback_is_told_of_every_call_and_of_the_composite(records: Callable[..., int], told: Told) -> None:
    assert records() == 4
    assert sorted(told.models) == ["gpt-4.1-mini", "gpt-4o", "gpt-4o-mini", "moa/openai/gpt-4o"]


@pytest.mark.parametrize("name", ["success_callback", "failure_callback", "input_callback", "service_callback"])
def test_a_function_in_any_list_of_callbacks_counts(
    records: Callable[..., int], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(litellm, name, [print_nothing])
    assert records() == 4
    litellm.logging_callback_manager.remove_callback_from_all_lists(print_nothing)


def print_nothing(*_: Any) -> None:
    """A callback as a function."""


def test_a_callback_of_one_call_counts_for_that_call(records: Callable[..., int], server: ThreadedServer) -> None:
    models: list[str] = []

    async def note(kwargs: Any, *_: Any) -> None:
        models.append(kwargs["model"])

    assert records(proposers=[at(server, FIRST, success_callback=[note]), SECOND]) == 1
    assert models == ["gpt-4o-mini"]
    assert records(success_callback=[note]) >= 1
    assert "moa/openai/gpt-4o" in models


@pytest.mark.parametrize("wish", ["budget", "debugging", "printing"])
def test_other_wishes_for_records_are_granted(
    records: Callable[..., int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wish: str
) -> None:
    match wish:
        case "budget":
            monkeypatch.setattr(litellm, "max_budget", 1e6)
        case "debugging":
            caplog.set_level(logging.DEBUG, "LiteLLM")
        case _:
            monkeypatch.setenv("LITELLM_PRINT_STANDARD_LOGGING_PAYLOAD", "1")
    assert records() == 4


class Own(litellm.CustomLLM):
    """An application's provider, which asks LiteLLM with a callback of its own."""

    def __init__(self, server: ThreadedServer) -> None:
        super().__init__()
        self._server = server
        self.told = asyncio.Event()

    async def acompletion(self, **_: Any) -> Any:  # type: ignore[override]
        """What the other model says."""

        async def note(*_: Any) -> None:
            self.told.set()

        return await litellm.acompletion(
            model=FINAL, messages=MESSAGES, api_base=self._server.base_url, api_key=KEY, success_callback=[note]
        )


def test_calls_of_an_application_s_own_provider_are_its_own_affair(
    records: Callable[..., int], server: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Own(server)
    monkeypatch.setattr(
        litellm, "custom_provider_map", [*litellm.custom_provider_map, {"provider": "own", "custom_handler": own}]
    )
    custom_llm_setup()
    records(proposers=["own/some-model"])
    assert own.told.is_set()


def test_money_and_errors_are_the_same_with_and_without_listeners(
    server: ThreadedServer, portal: BlockingPortal
) -> None:
    # Prompts hold a code of the run, and the server answers them by their text.
    server.set_scenario("gpt-4o", {"text": "It is the first."})

    def asked() -> Any:
        server.set_scenario("gpt-4.1-mini", {"error": {"status": 429, "retry_after": 1}})
        call = {"messages": MESSAGES, "api_base": server.base_url, "api_key": KEY}
        nodes = [FIRST, {"model": SECOND, "num_retries": 0}]
        response = portal.call(partial(litellm.acompletion, model=MOA, proposers=nodes, **call))
        trace = composite_llm.get_trace(response)
        return trace.usage, trace.cost_usd, response._hidden_params["response_cost"], [c.error for c in trace.calls]

    unheard = asked()
    told = Told()
    litellm.callbacks.append(told)
    try:
        assert asked() == unheard
    finally:
        litellm.logging_callback_manager.remove_callback_from_all_lists(told)
