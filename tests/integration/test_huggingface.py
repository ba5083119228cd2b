"""Models of Hugging Face's: what LiteLLM asks the hub about them holds up no event loop."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any

import httpx
import litellm
import pytest

from fake_server import ThreadedServer
from tests.support.asking import FIRST, MESSAGES, MOA, at

_number = itertools.count()


class Hub:
    """In the place of the client with which LiteLLM asks the hub.

    Attributes:
        asked: Of each question the address, and whether it was asked on a thread with an event loop.
        answers: Until it is set nobody is answered.
    """

    def __init__(self, window: int | None = 4096) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.answers = threading.Event()
        self.answers.set()
        self._window = window

    def get(self, url: str, **kwargs: Any) -> httpx.Response:
        self.asked.append((url, asyncio._get_running_loop() is not None))
        self.answers.wait(10)
        return httpx.Response(200, json={"max_position_embeddings": self._window}, request=httpx.Request("GET", url))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(litellm, "module_level_client", hub)
    return hub


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_the_hub_is_asked_once_a_model_and_never_on_the_event_loop(
    streamed: bool, hub: Hub, server: ThreadedServer
) -> None:
    node = at(server, f"huggingface/together/maker/window-{next(_number)}")
    for _ in range(2):
        answer: Any = await litellm.acompletion(
            MOA, MESSAGES, proposers=[node], aggregator=at(server, FIRST), stream=streamed
        )
        if streamed:
            assert [chunk async for chunk in answer]
    addresses = [url for url, _ in hub.asked]
    assert addresses, "LiteLLM asks no more: this file can go"
    assert len(addresses) == len(set(addresses))
    assert not any(on_a_loop for _, on_a_loop in hub.asked)


async def test_a_window_that_is_asked_for_on_an_event_loop_is_known_the_next_time(
    hub: Hub, server: ThreadedServer
) -> None:
    model = f"huggingface/maker/window-{next(_number)}"
    hub.answers.clear()
    assert litellm.get_model_info(model)["max_tokens"] is None
    hub.answers.set()
    for thread in threading.enumerate():
        if thread.name == "composite_llm huggingface":
            await asyncio.to_thread(thread.join)
    assert litellm.get_model_info(model)["max_tokens"] == 4096


def test_elsewhere_it_is_fetched_at_once(hub: Hub, provider: None) -> None:
    assert litellm.get_model_info(f"huggingface/maker/window-{next(_number)}")["max_tokens"] == 4096
