"""Models on Ollama: nothing stops the event loop to ask about them, and they cost nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support.asking import FINAL, KEY, MESSAGES, SECOND

NAMES = ("ollama_chat/loaded-when-asked", "ollama/loaded-when-asked", "ollama_chat/llama3", "ollama/llama3")


@pytest.fixture(autouse=True)
def _nobody_has_asked_about_them(provider: None) -> Iterator[None]:
    from composite_llm import runtime
    from composite_llm.backend.litellm_ollama import OllamaModels

    before = {name: litellm.model_cost.pop(name, None) for name in NAMES}
    runtime._facts._ollama = OllamaModels()
    litellm.utils._invalidate_model_cost_lowercase_map()
    yield
    for thread in threading.enumerate():
        if thread.name == "composite_llm ollama":
            # Whom it asks is the next test's server too.
            thread.join()
    for name, row in before.items():
        litellm.model_cost.pop(name, None)
        if row is not None:
            litellm.model_cost[name] = row


def on_ollama(server: ThreadedServer, model: str, **settings: Any) -> dict[str, Any]:
    return {"model": model, "api_base": server.url, **settings}


async def _longest_standstill_s(stop: asyncio.Event) -> float:
    longest = 0.0
    while not stop.is_set():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    return longest


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("model", NAMES)
async def test_the_loop_goes_on_while_a_server_takes_its_time_to_describe_a_model(
    model: str, streamed: bool, server: ThreadedServer
) -> None:
    server.set_scenario("*", {"text": "said locally", "show": {"latency_s": 2.0}})
    stop = asyncio.Event()
    ticking = asyncio.create_task(_longest_standstill_s(stop))
    answer = await litellm.acompletion(
        model=f"composite/moa/{model}",
        messages=MESSAGES,
        api_base=server.url,
        proposers=[on_ollama(server, model)],
        stream=streamed,
    )
    if streamed:
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])
    else:
        text = answer.choices[0].message.content
    assert text == "said locally"
    stop.set()
    # A busy machine stops it for a while too, but not for as long as the server takes.
    assert await ticking < 1.8


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("model", NAMES)
async def test_a_run_on_ollama_alone_costs_nothing_as_its_plain_call_does(
    model: str, streamed: bool, server: ThreadedServer
) -> None:
    server.set_scenario("*", {"text": "said locally"})
    answer = await litellm.acompletion(
        model=f"composite/moa/{model}",
        messages=MESSAGES,
        api_base=server.url,
        max_cost_usd=0.01,
        proposers=[on_ollama(server, model)],
        stream=streamed,
    )
    if streamed:
        [chunk async for chunk in answer]
    trace = composite_llm.get_trace(answer)
    assert trace.cost_usd == 0.0
    assert trace.usage.total_tokens > 0
    if not streamed:
        assert litellm.completion_cost(completion_response=answer) == 0.0


@pytest.mark.parametrize("model", NAMES)
async def test_among_priced_models_the_sum_is_theirs(model: str, server: ThreadedServer) -> None:
    answer = await litellm.acompletion(
        model=f"composite/council/{FINAL}",
        messages=MESSAGES,
        api_base=server.base_url,
        api_key=KEY,
        max_cost_usd=1.0,
        members=[on_ollama(server, model), SECOND],
    )
    trace = composite_llm.get_trace(answer)
    local = [call for call in trace.calls if call.model == model]
    assert [call.cost_usd for call in local] == [0.0, 0.0]
    assert trace.cost_usd == pytest.approx(sum(call.cost_usd or 0.0 for call in trace.calls))
    assert trace.cost_usd != 0.0


def test_nothing_is_unpriced_in_an_estimate(provider: None) -> None:
    explained = composite_llm.explain("composite/moa/ollama_chat/loaded-when-asked")
    assert (explained.unpriced, explained.worst_cost_usd) == ([], 0.0)


async def test_the_window_and_capabilities_are_learnt_beside_the_first_call_and_once(server: ThreadedServer) -> None:
    model = "ollama_chat/loaded-when-asked"
    capabilities = ["completion", "vision"]
    server.set_scenario("loaded-when-asked", {"show": {"context_length": 4321, "capabilities": capabilities}})
    for _ in range(2):
        await litellm.acompletion(
            model=f"composite/moa/{model}",
            messages=MESSAGES,
            api_base=server.url,
            fanout="every_call",
            proposers=[on_ollama(server, model)],
        )
        await asyncio.to_thread(_wait_for_window, model)
    shown = [record for record in server.ledger.records if record.path == "/api/show"]
    assert len(shown) == 1
    row = litellm.model_cost[model]
    assert (row["max_input_tokens"], row["supports_vision"], row["supports_function_calling"]) == (4321, True, False)
    assert litellm.get_model_info(f"composite/moa/{model}")["max_input_tokens"] == 4321


def _wait_for_window(model: str) -> None:
    deadline = time.monotonic() + 20
    while "max_input_tokens" not in litellm.model_cost[model]:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("status", [404, 500])
async def test_a_server_that_describes_nothing_is_no_obstacle(status: int, server: ThreadedServer) -> None:
    server.set_scenario("*", {"text": "said locally", "show": {"status": status}})
    answer = await litellm.acompletion(
        model="composite/moa/ollama_chat/loaded-when-asked", messages=MESSAGES, api_base=server.url, samples=1
    )
    assert answer.choices[0].message.content == "said locally"
    assert composite_llm.get_trace(answer).cost_usd == 0.0


async def test_through_a_routers_name(server: ThreadedServer) -> None:
    from composite_llm import runtime

    server.set_scenario("*", {"text": "said locally", "show": {"latency_s": 2.0}})
    model = "ollama_chat/loaded-when-asked"
    router = litellm.Router(model_list=[{"model_name": "local", "litellm_params": on_ollama(server, model)}])
    server.ledger.clear()
    runtime.use_router(router)
    try:
        answer = await litellm.acompletion(
            model="composite/moa/local", messages=MESSAGES, proposers=["local"], max_cost_usd=0.01
        )
    finally:
        runtime.use_router(None)
    assert answer.choices[0].message.content == "said locally"
    assert composite_llm.get_trace(answer).cost_usd == 0.0
    assert [record.path for record in server.ledger.records] == ["/api/chat"] * 2


async def test_a_picture_reaches_a_model_whose_server_has_not_told_yet_what_it_takes(server: ThreadedServer) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    server.set_scenario("*", {"text": "a cat", "show": {"latency_s": 2.0}})
    await litellm.acompletion(
        model="composite/moa/ollama_chat/loaded-when-asked",
        messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}],
        api_base=server.url,
        samples=1,
    )
    chats = [record.body for record in server.ledger.records if record.path == "/api/chat"]
    assert [body["messages"][0].get("images") for body in chats] == [["iVBORw0KGgo="]] * 2
