"""Composites that LiteLLM's Router leads a call back to: their calls are counted once, by the run around them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm import Trace
from composite_llm.proxy.request import ProxyRequest, begin_request
from composite_llm.runtime import services as composite_llm_services
from fake_server import ThreadedServer
from tests.support.asking import KEY, MESSAGES
from tests.support.listening import Listener, listening

NAMES: dict[str, dict[str, Any]] = {
    "small": {"model": "openai/gpt-4o-mini"},
    "medium": {"model": "openai/gpt-4.1-mini"},
    "large": {"model": "openai/gpt-4o"},
    "refused": {"model": "openai/always-refused"},
    "inner": {"model": "composite/moa/large", "proposers": ["small", "medium"]},
    "inner-council": {"model": "composite/council/large", "members": ["small", "medium"]},
    "broken-inner": {"model": "composite/moa/refused", "proposers": ["small", "medium"]},
    "refused-or-inner": {"model": "openai/always-refused"},
    "broken-or-large": {"model": "composite/moa/refused", "proposers": ["small"]},
    "mixed": {"model": "openai/gpt-4o"},
    "twice": {"model": "composite/moa/inner", "proposers": ["medium"]},
}
FALLBACKS = [{"refused-or-inner": ["inner"]}, {"broken-or-large": ["large"]}]
PRICES = {"gpt-4o": (2.5e-6, 1e-5), "gpt-4o-mini": (1.5e-7, 6e-7), "gpt-4.1-mini": (4e-7, 1.6e-6)}
ALL_KINDS = {
    "final": ("composite/moa/inner", {"proposers": ["small"]}),
    "member": ("composite/moa/large", {"proposers": ["inner", "small"]}),
    "leaf's fallback": ("composite/moa/refused-or-inner", {"proposers": ["small"]}),
    "leaf's fallback as a member": ("composite/moa/large", {"proposers": ["refused-or-inner", "small"]}),
    "a composite's fallback that is none": ("composite/moa/broken-or-large", {"proposers": ["small"]}),
    "council over it": ("composite/council/inner", {"members": ["small", "medium"]}),
    "council of it": ("composite/council/large", {"members": ["inner-council", "small"]}),
    "two deep": ("composite/moa/twice", {"proposers": ["small"]}),
    "final that fails": ("composite/moa/broken-inner", {"proposers": ["small"]}),
    "member that fails": ("composite/moa/large", {"proposers": ["broken-inner", "small"]}),
    "fallback of a node": ("composite/moa/large", {"proposers": [{"model": "refused", "fallbacks": ["inner"]}]}),
    "in place": (
        "composite/moa/composite/moa/large",
        {"proposers": ["small"], "aggregator": {"proposers": ["medium"]}},
    ),
}
both = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


@pytest.fixture
def router(provider: None, server: ThreadedServer) -> Iterator[litellm.Router]:
    from composite_llm import runtime

    server.set_scenario("always-refused", {"error": {"status": 400}})
    direct = {"api_base": server.base_url, "api_key": KEY}
    deployments = [
        {"model_name": name, "litellm_params": {**({} if "composite" in params["model"] else direct), **params}}
        for name, params in NAMES.items()
    ]
    deployments.append({"model_name": "mixed", "litellm_params": NAMES["inner"]})
    made = litellm.Router(model_list=deployments, num_retries=0, fallbacks=FALLBACKS)
    composite_llm.register(config={}, router=made)
    yield made
    runtime.use_router(None)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


def billed(server: ThreadedServer) -> float:
    total = 0.0
    for record in server.ledger.records:
        if record.usage is not None:
            prompt, completion = PRICES[str(record.model)]
            total += record.usage["prompt_tokens"] * prompt + record.usage["completion_tokens"] * completion
    return total


def tokens(server: ThreadedServer) -> int:
    return sum(record.usage["total_tokens"] for record in server.ledger.records if record.usage is not None)


async def asked(call: Any, model: str, *, streamed: bool, **options: Any) -> tuple[Trace, Any, float | None]:
    """The trace, the usage that the caller sees, and the cost."""
    if not streamed:
        try:
            response = await call(model=model, messages=MESSAGES, **options)
        except composite_llm.CompositeError as error:
            return composite_llm.get_trace(error), None, None
        return composite_llm.get_trace(response), response.usage, response._hidden_params["response_cost"]
    stream = await call(model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **options)
    usage = None
    with contextlib.suppress(Exception):  # what failed is in the trace
        async for chunk in stream:
            usage = getattr(chunk, "usage", None) or usage
    return composite_llm.get_trace(stream), usage, getattr(usage, "cost", None)


@both
@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_what_runs_inside_is_counted_once(
    router: litellm.Router, server: ThreadedServer, kind: str, streamed: bool
) -> None:
    model, options = ALL_KINDS[kind]
    trace, usage, cost = await asked(litellm.acompletion, model, streamed=streamed, **options)
    server.wait_until(lambda ledger: ledger.open_requests == 0)
    assert billed(server) > 0
    assert trace.cost_usd == pytest.approx(billed(server))
    assert trace.usage.total_tokens == tokens(server)
    if trace.error is None:
        assert cost == pytest.approx(billed(server))
        assert usage.total_tokens == tokens(server)


@both
@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_in_a_request_of_the_proxy_no_level_is_charged_on_top(
    router: litellm.Router, server: ThreadedServer, kind: str, streamed: bool
) -> None:
    request = ProxyRequest()
    begin_request(request)
    model, options = ALL_KINDS[kind]
    trace, _, cost = await asked(litellm.acompletion, model, streamed=streamed, **options)
    server.wait_until(lambda ledger: ledger.open_requests == 0)
    if trace.error is None:
        assert cost == pytest.approx(billed(server))
        assert request.failed_usd == 0.0
    else:
        assert request.spent is not None
        assert request.spent[1] == pytest.approx(billed(server))
        assert request.failed_usd == pytest.approx(billed(server))


@both
async def test_a_request_is_charged_for_each_of_its_runs_that_failed(
    router: litellm.Router, server: ThreadedServer, streamed: bool
) -> None:
    begin_request(ProxyRequest())
    for _ in range(2):
        await asked(litellm.acompletion, "composite/moa/broken-inner", streamed=streamed, proposers=["small"])
        # What a failed run was answered is kept for the next one, which would cost nothing.
        composite_llm_services().retry_cache._entries.clear()
    _, _, cost = await asked(litellm.acompletion, "composite/moa/inner", streamed=streamed, proposers=["small"])
    assert cost == pytest.approx(billed(server))


@both
@pytest.mark.parametrize("kind", ["final", "member", "two deep", "final that fails", "member that fails"])
async def test_callbacks_hear_the_cost_of_the_run_and_of_each_model_once(
    router: litellm.Router, server: ThreadedServer, listener: Listener, kind: str, streamed: bool
) -> None:
    model, options = ALL_KINDS[kind]
    await asked(litellm.acompletion, model, streamed=streamed, **options)
    answered = sum(record.usage is not None for record in server.ledger.records)
    heard = await asyncio.to_thread(
        listener.wait, lambda heard: sum((event.response_cost or 0) > 0 for event in heard) == answered + 1
    )
    (whole,) = [event for event in heard if event.is_composite]
    inside = [event for event in heard if not event.is_composite]
    assert whole.response_cost == pytest.approx(billed(server))
    assert sum(event.response_cost or 0.0 for event in inside) == pytest.approx(billed(server))


@both
async def test_a_name_asked_of_the_router_itself_is_charged_in_full(
    router: litellm.Router, server: ThreadedServer, streamed: bool
) -> None:
    _, usage, cost = await asked(router.acompletion, "twice", streamed=streamed)
    assert cost == pytest.approx(billed(server))
    assert usage.total_tokens == tokens(server)


@both
async def test_default_fallbacks_charge_each_composite_once(
    router: litellm.Router, server: ThreadedServer, streamed: bool
) -> None:
    router.fallbacks = [{"*": ["inner"]}]
    trace, _, _ = await asked(
        litellm.acompletion, "composite/moa/broken-inner", streamed=streamed, proposers=["broken-inner", "small"]
    )
    assert trace.error is None
    assert trace.cost_usd == pytest.approx(billed(server))


@both
async def test_a_name_of_a_composite_counts_as_the_composite_under_caps(
    router: litellm.Router, server: ThreadedServer, streamed: bool
) -> None:
    # Two members inside and the inner final call, one member outside and the outer final call.
    options = {"proposers": ["small"], "max_calls": 4, "max_parallel": 1}
    trace, _, _ = await asked(litellm.acompletion, "composite/moa/inner", streamed=streamed, **options)
    assert trace.error is None
    assert trace.degraded == []
    assert len(server.ledger.records) == 4


@both
async def test_a_composite_that_shares_its_name_with_a_model_does_not_wait_for_its_own_place(
    router: litellm.Router, server: ThreadedServer, streamed: bool
) -> None:
    options = {"proposers": ["mixed"] * 6, "max_parallel": 1, "timeout": 30}
    trace, _, _ = await asked(litellm.acompletion, "composite/moa/mixed", streamed=streamed, **options)
    assert trace.error is None
    assert trace.degraded == []
    assert trace.cost_usd == pytest.approx(billed(server))


@both
async def test_the_trace_names_the_composite_behind_a_name(
    router: litellm.Router, server: ThreadedServer, streamed: bool
) -> None:
    trace, _, _ = await asked(litellm.acompletion, "composite/moa/twice", streamed=streamed, proposers=["small"])
    (call,) = [call for call in trace.children(None) if call.stage == "aggregate"]
    assert call.composites == ["composite/moa/inner"]
    assert call.usage.total_tokens == 0
    assert [attempt.nested for attempt in call.attempts] == [True]
    assert trace.attempts_without_usage == 0
    inside = {inner.name for inner in trace.subtree(call)}
    assert inside == {"twice", "medium", "inner", "small", "large"}


async def test_what_a_nested_run_shows_is_its_own(router: litellm.Router, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "The inner answer."})
    response = await litellm.acompletion(
        "composite/moa/inner", MESSAGES, proposers=[{"model": "small", "name": "the outer member"}], reasoning="full"
    )
    reasoning = response.choices[0].message.reasoning_content
    # Once in the summary of the run itself, not once more in what the final model is said to have thought.
    assert reasoning.count("✓ the outer member") == 1
