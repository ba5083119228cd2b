"""One run is one trace in what LiteLLM's callbacks send to Langfuse and the like."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm import runtime
from fake_server import ThreadedServer
from tests.support.asking import COUNCIL, FIRST, KEY, MESSAGES, MOA, SECOND, Ask, at
from tests.support.listening import Heard, Listener, listening

NESTED = f"composite/moa/{FIRST}"
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND]}),
    "council": (COUNCIL, {"members": [FIRST, SECOND]}),
    "nested": (MOA, {"proposers": [NESTED]}),
}


def shape_at(server: ThreadedServer, shape: str) -> tuple[str, dict[str, Any]]:
    """A nested composite's models are where its node says."""
    model, options = SHAPES[shape]
    return (model, {"proposers": [at(server, NESTED)]}) if shape == "nested" else (model, options)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


def _ids(heard: list[Heard]) -> set[Any]:
    return {event.standard["trace_id"] for event in heard}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_and_all_its_calls_share_litellms_own_trace_id(
    shape: str, streamed: bool, ask: Ask, server: ThreadedServer, listener: Listener
) -> None:
    model, options = shape_at(server, shape)
    heard = []
    for _ in range(2):
        server.ledger.clear()
        listener.heard.clear()
        answer = ask(model, stream=streamed, **options)
        if streamed:
            list(answer)
        asked = len(server.ledger.records)
        heard.append(listener.wait(lambda events: len(events) == asked + 1))  # noqa: B023
    first, second = (_ids(events) for events in heard)
    assert (len(first), len(second)) == (1, 1)
    # Two runs do not share one.
    assert first != second


@pytest.mark.parametrize(
    "given",
    [{"litellm_trace_id": "mine"}, {"metadata": {"trace_id": "mine"}}, {"litellm_session_id": "mine"}],
    ids=["litellm_trace_id", "metadata", "session"],
)
def test_the_callers_own_is_everybodys(
    given: dict[str, Any], ask: Ask, server: ThreadedServer, listener: Listener
) -> None:
    ask(proposers=[FIRST], **given)
    assert _ids(listener.wait(lambda events: len(events) == 3)) == {"mine"}


def test_of_a_run_that_fails_too(ask: Ask, server: ThreadedServer, listener: Listener) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    with pytest.raises(composite_llm.FinalCallFailed):
        ask(proposers=[FIRST])
    assert len(_ids(listener.wait(lambda events: len(events) == 3))) == 1


async def test_through_a_router_and_its_names(server: ThreadedServer, listener: Listener) -> None:
    deployed = {"model": MOA, "proposers": ["small"], "api_base": server.base_url, "api_key": KEY}
    router = litellm.Router(
        model_list=[
            {"model_name": "wise", "litellm_params": deployed},
            {"model_name": "small", "litellm_params": at(server, FIRST)},
        ]
    )
    runtime.use_router(router)
    try:
        await router.acompletion("wise", MESSAGES)
        heard = await asyncio.to_thread(listener.wait, lambda events: len(events) == 3)
        assert len(_ids(heard)) == 1
    finally:
        runtime.use_router(None)
