"""LiteLLM's response cache in front of a composite, and under its calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import litellm
import pytest
from anyio.from_thread import BlockingPortal
from litellm.caching.caching import Cache

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FIRST, KEY, MESSAGES, MOA, SECOND, Ask


@pytest.fixture(autouse=True)
def _response_cache(provider: None) -> Iterator[None]:
    litellm.cache = Cache(type="local")
    yield
    litellm.disable_cache()
    litellm.cache = None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"proposers": [FIRST]}, {"proposers": [SECOND]}),
        ({"proposers": [FIRST]}, {"proposers": [FIRST], "layers": 2}),
        ({"proposers": [{"model": FIRST, "temperature": 0.1}]}, {"proposers": [{"model": FIRST, "temperature": 0.9}]}),
        ({"extra_body": {"proposers": [FIRST]}}, {"extra_body": {"proposers": [SECOND]}}),
        ({"optional_params": {"proposers": [FIRST]}}, {"optional_params": {"proposers": [SECOND]}}),
        ({"proposers": [FIRST], "reasoning": "off"}, {"proposers": [FIRST]}),
        ({"proposers": [FIRST]}, {"proposers": [FIRST], "aggregator": {"system": "Be brief."}}),
    ],
    ids=["proposers", "layers", "a-node's-parameter", "extra_body", "optional_params", "reasoning", "aggregator"],
)
def test_composites_with_different_options_share_no_answer(
    ask_both: Ask, server: ThreadedServer, first: dict[str, Any], second: dict[str, Any]
) -> None:
    one = ask_both(**first)
    server.ledger.clear()
    other = ask_both(**second)
    assert server.ledger.records, "answered from the other's entry"
    assert other.id != one.id


def test_a_repeated_request_is_a_hit_like_any_models(ask_both: Ask, server: ThreadedServer) -> None:
    first = ask_both(proposers=[FIRST, SECOND])
    server.ledger.clear()
    again = ask_both(proposers=[FIRST, SECOND])
    assert server.ledger.records == []
    assert again.choices[0].message.content == first.choices[0].message.content
    assert again._hidden_params["cache_hit"]


def test_samples_of_one_model_stay_different(ask_both: Ask, server: ThreadedServer) -> None:
    ask_both(samples=3)
    assert wire.models(server) == ["gpt-4o"] * 4


def test_a_member_may_be_answered_from_the_cache_and_costs_nothing_then(ask: Ask, server: ThreadedServer) -> None:
    ask(proposers=[FIRST])
    server.ledger.clear()
    trace = composite_llm.get_trace(ask(MOA, proposers=[FIRST, SECOND]))
    assert "gpt-4o-mini" not in wire.models(server)
    assert [call.cost_usd == 0 for call in trace.calls] == [True, False, False]


def _streamed(server: ThreadedServer, portal: BlockingPortal, **options: Any) -> str:
    """The streamed answer, from a loop that outlives the test."""

    async def read() -> str:
        stream: Any = await litellm.acompletion(
            model=MOA, messages=MESSAGES, api_base=server.base_url, api_key=KEY, stream=True, **options
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    return portal.call(read)


BROKEN = {"error": {"status": 400}}


def test_an_answer_without_a_member_is_not_taken_for_the_whole_one(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", BROKEN)
    first = ask_both(proposers=[FIRST, SECOND])
    assert composite_llm.get_trace(first).degraded
    server.reset_scenarios()
    server.ledger.clear()
    second = ask_both(proposers=[FIRST, SECOND])
    assert composite_llm.get_trace(second).degraded == []
    assert "gpt-4o-mini" in wire.models(server)


def test_neither_is_a_streamed_one(server: ThreadedServer, portal: BlockingPortal) -> None:
    server.set_scenario("gpt-4o-mini", BROKEN)
    _streamed(server, portal, proposers=[FIRST, SECOND])
    server.reset_scenarios()
    server.ledger.clear()
    _streamed(server, portal, proposers=[FIRST, SECOND])
    assert "gpt-4o-mini" in wire.models(server)
    server.ledger.clear()
    _streamed(server, portal, proposers=[FIRST, SECOND])
    assert server.ledger.records == []
