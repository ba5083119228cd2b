"""What a stream used and cost: the ledger's numbers, in the trace, on the usage chunk and in the callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FINAL, FIRST, MOA, SECOND, THIRD, at
from tests.support.listening import Listener, listening
from tests.support.streams import close, request, streamed, streamed_sync, streaming, text_of

UNPRICED = "openai/nobody-knows-its-price"
WITH_USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND]}),
    "moa of two layers": (MOA, {"proposers": [FIRST, SECOND], "layers": 2}),
    "council": (COUNCIL, {"members": [FIRST, SECOND, THIRD]}),
    "without reasoning": (MOA, {"proposers": [FIRST, SECOND], "reasoning": "off"}),
}


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


def _total(server: ThreadedServer) -> tuple[int, int, int]:
    used = wire.tokens(server)
    return used["prompt_tokens"], used["completion_tokens"], used["total_tokens"]


def _tokens(usage: Any) -> tuple[int, int, int]:
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens


@pytest.mark.parametrize("asked", [False, True], ids=["without include_usage", "with include_usage"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_usage_and_cost_of_a_stream_are_the_ledgers(
    server: ThreadedServer, listener: Listener, shape: str, asked: bool
) -> None:
    model, options = SHAPES[shape]
    done = await streamed(server, model, **options, **(WITH_USAGE if asked else {}))
    assert _tokens(done.trace.usage) == _total(server)
    heard = await asyncio.to_thread(listener.composite)
    assert heard.succeeded
    assert heard.response_cost == done.trace.cost_usd
    assert heard.response_cost
    assert heard.standard["response_cost"] == done.trace.cost_usd
    assert _tokens(heard.response.usage) == _total(server)
    if asked:
        assert _tokens(done.usage) == _total(server)
        assert done.usage.cost == done.trace.cost_usd
    else:
        assert done.usage is None


def test_usage_and_cost_of_a_sync_stream_are_the_ledgers(server: ThreadedServer, listener: Listener) -> None:
    done = streamed_sync(server, proposers=[FIRST, SECOND], **WITH_USAGE)
    assert _tokens(done.usage) == _tokens(done.trace.usage) == _total(server)
    heard = listener.composite()
    assert heard.response_cost == done.usage.cost == done.trace.cost_usd


async def test_the_usage_chunk_counts_what_the_user_does_not_see_as_reasoning(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "Short.", "reasoning": "A little thought."})
    done = await streamed(server, proposers=[FIRST, SECOND], **WITH_USAGE)
    hidden = sum(call.usage.completion_tokens for call in done.trace.calls if call.stage == "propose")
    assert done.usage.completion_tokens_details.reasoning_tokens == hidden + done.trace.calls[-1].usage.reasoning_tokens


async def test_each_subcall_is_reported_once_and_their_costs_are_the_streams(
    server: ThreadedServer, listener: Listener
) -> None:
    done = await streamed(server, proposers=[FIRST, SECOND])
    heard = await asyncio.to_thread(listener.wait, lambda events: len(events) >= 4)
    costs = [event.response_cost for event in heard if not event.is_composite]
    assert len(costs) == 3
    assert sum(costs) == pytest.approx(done.trace.cost_usd)


async def test_an_unknown_price_gives_no_cost_anywhere(server: ThreadedServer, listener: Listener) -> None:
    done = await streamed(server, proposers=[FIRST, UNPRICED], **WITH_USAGE)
    assert done.trace.cost_usd is None
    assert getattr(done.usage, "cost", None) is None
    heard = await asyncio.to_thread(listener.composite)
    assert not heard.response_cost
    assert "price unknown" in done.reasoning


async def test_tokens_of_attempts_that_were_given_up_are_charged_too(
    server: ThreadedServer, listener: Listener
) -> None:
    broken = {"text": "I would say that", "drop": "mid_stream", "drop_after_chunks": 1}
    server.set_scenario("gpt-4o", {"sequence": [broken, {"text": "The answer."}]})
    done = await streamed(server, proposers=[FIRST], aggregator={"num_retries": 1}, **WITH_USAGE)
    heard = await asyncio.to_thread(listener.composite)
    assert heard.response_cost == done.usage.cost == done.trace.cost_usd
    assert done.trace.usage.total_tokens == sum(call.usage.total_tokens for call in done.trace.calls)


async def test_the_running_usage_after_each_stage_is_what_a_stream_that_breaks_then_is_charged(
    server: ThreadedServer,
) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    async with streaming(server, proposers=[FIRST, SECOND]) as stream:
        async for chunk in stream:
            if "Aggregation: asking" in text_of([chunk], "reasoning_content"):
                break
        built: Any = litellm.stream_chunk_builder(stream.chunks)
        trace = composite_llm.get_trace(stream)
    assert _tokens(built.usage) == _tokens(trace.usage)
    assert built.usage.total_tokens > 0
    assert built.usage.cost == trace.cost_usd


async def test_the_failure_callback_of_a_stream_that_breaks_within_its_answer_shows_all_that_was_spent(
    server: ThreadedServer, listener: Listener
) -> None:
    server.set_scenario("gpt-4o", {"text": "One two three four.", "drop": "mid_stream", "drop_after_chunks": 4})
    with pytest.raises(litellm.exceptions.MidStreamFallbackError) as caught:
        await streamed(server, proposers=[FIRST], aggregator={"num_retries": 0})
    trace = composite_llm.get_trace(caught.value)
    heard = await asyncio.to_thread(listener.composite)
    assert not heard.succeeded
    assert heard.response_cost == pytest.approx(trace.cost_usd)
    assert heard.standard["total_tokens"] == trace.usage.total_tokens
    final = trace.calls[-1]
    assert final.attempts[0].estimated
    assert final.usage.completion_tokens > 0
    assert final.content == "One two thre"


async def test_the_failure_callback_of_a_missed_quorum_shows_what_the_others_spent(
    server: ThreadedServer, listener: Listener
) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 400}, "latency_s": 0.1})
    with pytest.raises(composite_llm.QuorumNotMet) as caught:
        await streamed(server, proposers=[FIRST, SECOND], quorum=2, reasoning="off")
    heard = await asyncio.to_thread(listener.composite)
    trace = composite_llm.get_trace(caught.value)
    assert heard.response_cost == pytest.approx(trace.cost_usd)
    assert heard.response_cost


async def test_the_trace_is_there_after_the_end(server: ThreadedServer) -> None:
    done = await streamed(server, proposers=[FIRST, SECOND])
    assert [call.status for call in done.trace.calls] == ["ok", "ok", "ok"]
    assert done.trace.calls[-1].content == done.content
    assert done.trace.calls[-1].first_token_s is not None
    assert composite_llm.Trace.model_validate_json(done.trace.model_dump_json()) == done.trace


async def test_the_trace_is_there_while_the_stream_runs(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    async with streaming(server, proposers=[FIRST]) as stream:
        async for chunk in stream:
            if "Aggregation: asking" in text_of([chunk], "reasoning_content"):
                break
        trace = composite_llm.get_trace(stream)
        assert [call.status for call in trace.calls if call.stage == "propose"] == ["ok"]


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_a_stream_closed_within_its_answer_leaves_estimated_tokens_in_its_trace(
    server: ThreadedServer, sync: bool
) -> None:
    text = "".join(f"{number:03d} " for number in range(50))
    server.set_scenario("gpt-4o", {"text": text, "hang_after_chunks": 21})
    options = request(server, proposers=[FIRST])
    if sync:
        stream: Any = await asyncio.to_thread(lambda: litellm.completion(**options, stream=True))
        await asyncio.to_thread(lambda: _read_chars(stream, 60))
        close(stream)
    else:
        stream = await litellm.acompletion(**options, stream=True)
        seen = 0
        async for chunk in stream:
            seen += len(text_of([chunk], "content"))
            if seen >= 60:
                break
        await stream.aclose()
    await asyncio.to_thread(server.wait_until, lambda ledger: ledger.open_requests == 0)
    final = composite_llm.get_trace(stream).calls[-1]
    assert final.status == "cancelled"
    assert final.attempts[0].estimated
    assert final.attempts[0].usage.completion_tokens > 10
    assert final.attempts[0].cost_usd


def _read_chars(stream: Any, wanted: int) -> None:
    seen = 0
    while seen < wanted:
        seen += len(text_of([next(stream)], "content"))


async def test_a_stream_that_was_never_read_has_no_trace(server: ThreadedServer) -> None:
    async with streaming(server, proposers=[FIRST]) as stream:
        with pytest.raises(ValueError, match="no composite trace"):
            composite_llm.get_trace(stream)
    assert not server.ledger.records


async def test_a_nested_composite_is_charged_once(server: ThreadedServer, listener: Listener) -> None:
    inner = at(server, f"composite/moa/{SECOND}", proposers=[at(server, THIRD)])
    done = await streamed(server, proposers=[inner, FIRST], aggregator=at(server, FINAL), **WITH_USAGE)
    assert _tokens(done.usage) == _total(server)
    heard = await asyncio.to_thread(listener.composite)
    assert heard.response_cost == done.trace.cost_usd
