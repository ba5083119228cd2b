"""`stream_members`: members and reviewers asked in streams, for what that tells and frees."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, KEY, MESSAGES, MOA, SECOND, Ask, at
from tests.support.providers import PROVIDERS

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND]}),
    "council": (COUNCIL, {"members": [FIRST, SECOND]}),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_answer_is_the_same_and_only_the_final_call_is_as_the_caller_asked(
    shape: str, streamed: bool, ask: Ask, server: ThreadedServer
) -> None:
    model, options = SHAPES[shape]
    traces = []
    for inside in (False, True):
        server.ledger.clear()
        answer = ask(model, stream=streamed, stream_members=inside, seed=7, fanout="every_call", **options)
        if streamed:
            list(answer)
        traces.append(composite_llm.get_trace(answer))
        *members, final = server.ledger.records
        assert {record.stream for record in members} == {inside}
        assert final.stream is streamed
    plain, inside_streams = traces
    assert [call.content for call in inside_streams.calls] == [call.content for call in plain.calls]
    assert inside_streams.usage == plain.usage
    assert inside_streams.cost_usd == pytest.approx(plain.cost_usd)


def test_what_an_abandoned_attempt_spent_is_told(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1-mini", {"text": "a slow answer " * 20, "hang_after_chunks": 30})
    trace = composite_llm.get_trace(ask(proposers=[FIRST, SECOND], straggler_grace_s=0.5, stream_members=True))
    (slow,) = [call for call in trace.calls if call.model == SECOND]
    assert slow.status == "abandoned"
    assert slow.usage.prompt_tokens > 0
    assert slow.usage.completion_tokens > 0
    assert slow.cost_usd
    assert trace.attempts_without_usage == 0


def test_a_stream_that_breaks_off_is_tried_again(ask: Ask, server: ThreadedServer) -> None:
    broken = {"text": "half of an answer", "drop": "mid_stream", "drop_after_chunks": 3}
    server.set_scenario("gpt-4o-mini", {"sequence": [broken, {"text": "whole"}]})
    trace = composite_llm.get_trace(ask(proposers=[FIRST], stream_members=True))
    (member,) = [call for call in trace.calls if call.role == "proposer"]
    assert (member.status, member.content) == ("ok", "whole")
    assert [attempt.status for attempt in member.attempts] == ["failed", "ok"]


def test_a_nodes_timeout_counts_the_whole_stream(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1-mini", {"text": "long", "hang_after_chunks": 1})
    slow = {"model": SECOND, "timeout": 0.5, "num_retries": 0}
    trace = composite_llm.get_trace(ask(proposers=[FIRST, slow], stream_members=True))
    assert {call.model: call.status for call in trace.calls if call.role == "proposer"}[SECOND] == "timed_out"


async def test_cancelling_ends_the_members_streams(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "long enough", "hang_after_chunks": 1})
    connection = {"api_base": server.base_url, "api_key": KEY}
    task = asyncio.create_task(
        litellm.acompletion(MOA, MESSAGES, proposers=[at(server, FIRST)], stream_members=True, **connection)
    )
    await asyncio.to_thread(server.wait_until, lambda ledger: any(record.chunks for record in ledger.records))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_until, lambda ledger: ledger.open_requests == 0)
    assert wire.record(server, "gpt-4o-mini").disconnected


# LiteLLM dumps the events of OpenAI's Responses that it has made of dictionaries.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize("name", PROVIDERS)
def test_through_every_adapter(name: str, ask: Ask, server: ThreadedServer) -> None:
    provider = PROVIDERS[name]
    counts = {"prompt_tokens": 100, "completion_tokens": 20}
    server.set_scenario(provider.served_as, provider.says(reasoning="hm", text="a piece of advice", usage=counts))
    trace = composite_llm.get_trace(ask(proposers=[provider.at(server)], stream_members=True))
    (member,) = [call for call in trace.calls if call.role == "proposer"]
    assert (member.status, member.content) == ("ok", "a piece of advice")
    assert (member.usage.prompt_tokens, member.usage.completion_tokens) == (100, 20)


def test_a_nested_composite_streams_its_own_members_where_it_says_so(ask: Ask, server: ThreadedServer) -> None:
    inner = at(server, "composite/moa/openai/gpt-4.1", proposers=[FIRST], stream_members=True)
    ask(proposers=[inner, SECOND])
    # An earlier test's question about a model on Ollama may come late.
    chats = [record for record in server.ledger.records if record.path != "/api/show"]
    streams = {record.model: record.stream for record in chats}
    assert streams == {"gpt-4o-mini": True, "gpt-4.1": False, "gpt-4.1-mini": False, "gpt-4o": False}
