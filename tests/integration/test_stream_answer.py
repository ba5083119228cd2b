"""The final call, passed on chunk by chunk: whatever it holds, however the provider cuts it, and when it goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import litellm
import openai
import pytest
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices
from litellm.utils import custom_llm_setup

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FINAL, FIRST, MOA, SECOND, at
from tests.support.streams import accumulated, request, streamed, streaming, text_of

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("add", "multiply")
]
TWO_CALLS = [
    {"name": "add", "arguments": {"a": 1, "b": "größer als 3 €"}},
    {"name": "multiply", "arguments": {"factors": [2, 3, 4]}},
]


@pytest.fixture(autouse=True)
def _quiet_member(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "A member's opinion."})


class _TurnCounter(litellm.CustomLLM):
    """A provider that notes when each of its chunks leaves and when the loop's turn that it left in is over."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    def astreaming(self, **kwargs: Any) -> AsyncGenerator[ModelResponseStream, None]:  # type: ignore[override]
        return self._chunks()

    async def _chunks(self) -> AsyncGenerator[ModelResponseStream, None]:
        for number in range(5):
            await asyncio.sleep(0)
            self.log.append(f"sent {number}")
            asyncio.get_running_loop().call_soon(self.log.append, f"turn over {number}")
            yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(content=f"<{number}>"))])
        yield ModelResponseStream(choices=[StreamingChoices(finish_reason="stop", delta=Delta())])


@pytest.fixture
def turns() -> Iterator[_TurnCounter]:
    counter = _TurnCounter()
    before = list(litellm.custom_provider_map)
    litellm.custom_provider_map = [*before, {"provider": "turns", "custom_handler": counter}]
    custom_llm_setup()
    yield counter
    litellm.custom_provider_map = before
    composite_llm.register()


async def test_every_token_leaves_in_the_turn_of_the_loop_in_which_it_arrived(
    server: ThreadedServer, turns: _TurnCounter
) -> None:
    async with streaming(server, "composite/moa/turns/any", proposers=[at(server, FIRST)]) as stream:
        async for chunk in stream:
            if text := text_of([chunk], "content"):
                turns.log.append(f"got {text}")
    await asyncio.sleep(0)
    expected = [entry for n in range(5) for entry in (f"sent {n}", f"got <{n}>", f"turn over {n}")]
    assert turns.log == expected


async def test_tool_call_deltas_come_in_parallel_and_in_pieces(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"tool_calls": TWO_CALLS, "tool_argument_chars": 3, "interleaved_tool_deltas": True})
    done = await streamed(server, proposers=[FIRST], tools=TOOLS)
    deltas = [call for chunk in done.chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert len(deltas) > 15
    assert [call.index for call in deltas[:4]] == [0, 1, 0, 1]
    calls = accumulated(done.chunks)[0]["tool_calls"]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [call["arguments"] for call in TWO_CALLS]
    assert [call["function"]["name"] for call in calls] == ["add", "multiply"]
    assert done.finish_reasons == {0: "tool_calls"}


@pytest.mark.parametrize("chars", [1, 2, 5, 7, 1000])
async def test_tool_arguments_may_be_cut_anywhere(server: ThreadedServer, chars: int) -> None:
    server.set_scenario("gpt-4o", {"tool_calls": TWO_CALLS, "tool_argument_chars": chars, "split_utf8": True})
    done = await streamed(server, proposers=[FIRST], tools=TOOLS)
    calls: Any = done.built.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [call["arguments"] for call in TWO_CALLS]


async def test_a_refusal_is_streamed_although_litellm_loses_it(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"refusal": "I will not do that."})
    done = await streamed(server, proposers=[FIRST])
    plain = await litellm.acompletion(**request(server, proposers=[FIRST]))
    assert accumulated(done.chunks)[0]["refusal"] == "I will not do that."
    assert plain.choices[0].message.refusal == "I will not do that."
    assert done.built.choices[0].message.provider_specific_fields == {"refusal": "I will not do that."}
    assert plain.choices[0].message.provider_specific_fields == {"refusal": "I will not do that."}
    assert done.trace.degraded == []


async def test_of_two_choices_each_keeps_its_text_its_reasoning_and_its_finish_reason(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"texts": ["Short.", "A longer answer."], "reasoning": "thought {n}"})
    options = {"proposers": [FIRST], "n": 2, "max_tokens": 6}
    done = await streamed(server, **options)
    plain = await litellm.acompletion(**request(server, **options))
    messages = accumulated(done.chunks)
    assert [messages[index]["content"] for index in (0, 1)] == [choice.message.content for choice in plain.choices]
    assert messages[1]["reasoning_content"] == plain.choices[1].message.reasoning_content == "thought 2"
    assert "The final model's own reasoning\nthought 1\n" in messages[0]["reasoning_content"]
    assert done.finish_reasons == {0: "stop", 1: "length"}
    assert [choice.finish_reason for choice in plain.choices] == ["stop", "length"]


async def test_logprobs_come_with_their_tokens(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "abcdefgh"})
    options = {"proposers": [FIRST], "logprobs": True, "top_logprobs": 2}
    done = await streamed(server, **options)
    plain = await litellm.acompletion(**request(server, **options))
    streamed_tokens = [
        token.token
        for chunk in done.chunks
        for choice in chunk.choices
        if getattr(choice, "logprobs", None)
        for token in choice.logprobs.content or ()
    ]
    assert streamed_tokens == [token["token"] for token in plain.choices[0].logprobs["content"]]
    assert "".join(streamed_tokens) == "abcdefgh"


async def test_the_models_own_reasoning_comes_before_its_answer_piece_by_piece(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "So it is.", "reasoning": "This follows from that."})
    done = await streamed(server, proposers=[FIRST])
    pieces = [text_of([chunk], "reasoning_content") for chunk in done.chunks]
    assert sum(piece in "This follows from that." for piece in pieces if piece) >= 5
    assert done.content == "So it is."


async def test_all_chunks_carry_one_id_one_time_and_the_composites_name(server: ThreadedServer) -> None:
    done = await streamed(server, proposers=[FIRST], stream_options={"include_usage": True})
    assert {chunk.id for chunk in done.chunks} == {f"chatcmpl-{done.trace.id}"}
    # LiteLLM makes the finish chunk and the usage chunk itself, and leaves the provider's name away in them.
    assert {chunk.model for chunk in done.chunks[:-2]} == {MOA}
    assert {chunk.model for chunk in done.chunks[-2:]} == {MOA.removeprefix("composite/")}
    assert len({chunk.created for chunk in done.chunks[:-2]}) == 1


async def test_no_chunk_tells_the_callers_code_of_the_subcalls_endpoint(server: ThreadedServer) -> None:
    done = await streamed(server, proposers=[FIRST])
    hidden = [chunk._hidden_params for chunk in done.chunks if text_of([chunk], "content")]
    assert hidden
    assert not any("api_base" in params or "model_id" in params for params in hidden)


ODD_STREAMS: dict[str, dict[str, Any]] = {
    "plain JSON instead of a stream": {"ignore_stream": True},
    "usage on the last content chunk": {"usage_on_last_content_chunk": True},
    "an empty first chunk": {"empty_first_chunk": True},
    "characters cut in the middle": {"split_utf8": True, "chunk_chars": 1},
    "comments between the chunks": {"comment_keepalive": True},
    "no usage at all": {"no_usage": True},
    "everything in one chunk": {"chunk_chars": 100_000},
}


@pytest.mark.parametrize("oddity", ODD_STREAMS)
async def test_a_provider_that_streams_oddly_gives_the_right_answer(server: ThreadedServer, oddity: str) -> None:
    text = "Schön: 日本語 und 🙂 mit Umlauten."
    server.set_scenario("gpt-4o", {"text": text, **ODD_STREAMS[oddity]})
    done = await streamed(server, proposers=[FIRST], stream_options={"include_usage": True})
    assert done.content == text
    assert done.finish_reasons == {0: "stop"}
    if "no_usage" not in ODD_STREAMS[oddity]:
        assert done.trace.usage.total_tokens == wire.tokens(server)["total_tokens"]
    assert done.usage.total_tokens == done.trace.usage.total_tokens > 0


BREAKS: dict[str, dict[str, Any]] = {
    "before its headers": {"drop": "before"},
    "after its headers": {"drop": "headers"},
    "before its first content token": {"drop": "mid_stream", "drop_after_chunks": 1},
    "within its own reasoning": {"reasoning": "Let me think about it.", "drop": "mid_stream", "drop_after_chunks": 4},
    "with a 500": {"error": {"status": 500}},
}


@pytest.mark.parametrize("how", BREAKS)
async def test_a_final_stream_that_breaks_before_its_answer_is_tried_again(server: ThreadedServer, how: str) -> None:
    server.set_scenario("gpt-4o", {"sequence": [BREAKS[how], {"text": "Second time lucky."}]})
    done = await streamed(server, proposers=[FIRST])
    assert done.content == "Second time lucky."
    assert [attempt.status for attempt in done.trace.calls[-1].attempts] == ["failed", "ok"]
    assert len(wire.records(server, "gpt-4o")) == 2


@pytest.mark.parametrize("how", BREAKS)
async def test_a_final_stream_that_breaks_before_its_answer_falls_back(server: ThreadedServer, how: str) -> None:
    server.set_scenario("gpt-4o", BREAKS[how])
    server.set_scenario("gpt-4.1-mini", {"text": "The fallback's answer."})
    done = await streamed(server, proposers=[FIRST], aggregator={"num_retries": 0, "fallbacks": [SECOND]})
    assert done.content == "The fallback's answer."
    assert done.trace.calls[-1].model == SECOND
    assert [reason.split(":")[0] for reason in done.trace.degraded] == ["fallback_used"]


@pytest.mark.parametrize(
    ("what", "scenario", "received"),
    [
        ("text", {"text": "One two three four.", "drop": "mid_stream", "drop_after_chunks": 4}, len("One two thre")),
        ("text", {"text": "One two three four.", "hang_after_chunks": 3}, len("One two ")),
        ("tool call", {"tool_calls": TWO_CALLS, "drop": "mid_stream", "drop_after_chunks": 3}, len("add") + 16),
    ],
    ids=["dropped", "silent", "in a tool call"],
)
async def test_a_final_stream_that_breaks_within_its_answer_ends_with_what_was_received(
    server: ThreadedServer, what: str, scenario: dict[str, Any], received: int
) -> None:
    server.set_scenario("gpt-4o", scenario)
    aggregator = {"fallbacks": [SECOND], "timeout": 1 if "hang_after_chunks" in scenario else 20}
    chunks = []
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012  # the stream is what raises
        async with streaming(server, proposers=[FIRST], aggregator=aggregator, tools=TOOLS) as stream:
            async for chunk in stream:
                chunks.append(chunk)  # noqa: PERF401  # what came before the error counts
    error = getattr(caught.value, "original_exception", None) or caught.value
    assert isinstance(error, composite_llm.FinalCallFailed)
    assert error.received_chars == received
    assert f"after {received} characters of its answer" in error.message
    assert not wire.records(server, "gpt-4.1-mini")
    if what == "text":
        assert len(text_of(chunks, "content")) == received


async def test_a_chunk_that_is_no_json_is_tried_again_when_nothing_was_passed_on(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"sequence": [{"malformed_json": True}, {"text": "Well-formed."}]})
    done = await streamed(server, proposers=[FIRST])
    assert done.content == "Well-formed."
    assert done.trace.calls[-1].attempts[0].error_class is not None


async def test_a_blank_final_stream_falls_back_like_a_blank_plain_answer(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"blank": True})
    server.set_scenario("gpt-4.1-mini", {"text": "Not blank."})
    done = await streamed(server, proposers=[FIRST], aggregator={"fallbacks": [SECOND]})
    assert done.content == "Not blank."
    assert done.trace.calls[-1].attempts[0].error == "blank answer"


async def test_the_best_answer_is_streamed_when_the_final_call_fails_and_the_caller_wants_that(
    server: ThreadedServer,
) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    done = await streamed(server, proposers=[FIRST], on_final_failure="best")
    assert done.content == "A member's opinion."
    fields: Any = done.built.choices[0].message.provider_specific_fields
    assert fields["composite"]["degraded"] == done.trace.degraded
    assert done.finish_reasons == {0: "stop"}
    assert any(FINAL in reason for reason in done.trace.degraded)


async def test_a_silent_stream_is_hedged_and_the_other_ones_answer_passed_on(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"sequence": [{"hang_after_chunks": 0}, {"text": "The second one's answer."}]})
    done = await streamed(server, proposers=[FIRST], aggregator={"hedge_after_s": 0.05})
    assert text_of(done.chunks, "content") == "The second one's answer."
    attempts = done.trace.calls[-1].attempts
    # On a busy machine the second request may arrive before the first.
    assert sorted(attempt.status for attempt in attempts) == ["abandoned", "ok"]
    assert attempts[0].next_step == "hedged after 0.05 s"
    server.wait_until(lambda ledger: ledger.open_requests == 0)
    assert sorted(record.disconnected for record in wire.records(server, "gpt-4o")) == [False, True]
