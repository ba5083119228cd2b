"""Text is read ahead of LiteLLM's stream wrapper: nothing of it may be seen but the time saved.

Each stream is read twice, with and without.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.caching.caching import Cache
from litellm.integrations.custom_logger import CustomLogger

from composite_llm.backend import litellm_backend
from composite_llm.backend.fast_openai.ahead import _Ahead, read_ahead
from composite_llm.backend.interface import AttemptRequest, Chunk
from composite_llm.backend.litellm_backend import LiteLLMBackend
from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.model.errors import AttemptFailed
from tests.support.asking import MESSAGES
from tests.support.played_server import Played, PlayedServer, played_server

EVENTS = [("Content-Type", "text/event-stream; charset=utf-8")]
DONE = b"data: [DONE]\n\n"
USED = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}

Piece = dict[str, Any]


def piece(delta: Piece, finish_reason: str | None = None, **more: Any) -> Piece:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": [choice], **more}


def said(text: str, **more: Any) -> Piece:
    return piece({"content": text}, **more)


def thought(text: str) -> Piece:
    return piece({"content": None, "reasoning_content": text})


def called(arguments: str) -> Piece:
    return piece({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"arguments": arguments}}]})


BEGIN, END = piece({"role": "assistant", "content": ""}), piece({}, "stop")
USAGE = {**piece({}), "choices": [], "usage": USED}
WORDS = [said(word) for word in ("The", " oldest", " bridge", " is", " in", " Arkadiko", ".")]


def events(*pieces: Any, done: bytes = DONE) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in pieces) + done


class Told(CustomLogger):
    """What LiteLLM tells an application's callbacks of a stream."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.came = asyncio.Event()

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        payload = kwargs["standard_logging_object"]
        response = {key: value for key, value in payload["response"].items() if key not in ("id", "created")}
        self.events.append((response, payload["total_tokens"], payload["response_cost"]))
        self.came.set()


@pytest.fixture(scope="module")
def server(portal: BlockingPortal, provider: None) -> Iterator[PlayedServer]:
    with portal.wrap_async_context_manager(played_server()) as running:
        yield running


Read = Callable[..., tuple[Any, Any]]
"""What comes of a stream, read by LiteLLM alone and ahead of it."""


@pytest.fixture(scope="module")
def read(server: PlayedServer, portal: BlockingPortal) -> Iterator[Read]:
    told = Told()
    litellm.callbacks.append(told)
    ahead = read_ahead

    async def once(played: Played, params: dict[str, Any], hears: bool) -> Any:
        server.plays, told.events, told.came = played, [], asyncio.Event()
        # A new one each time: it learns which models begin with thoughts that nothing marks.
        backend = LiteLLMBackend(LiteLLMFacts())
        connection = {"api_base": server.base_url, "api_key": "sk-played"}
        request = AttemptRequest("openai/gpt-4o", MESSAGES, {**connection, **params}, timeout_s=600.0)
        chunks: list[Any] = []
        try:
            async with contextlib.aclosing(backend.stream(request)) as stream:
                async for chunk in stream:
                    chunks.append(as_seen(chunk))  # noqa: PERF401  # those before an error are compared too
        except AttemptFailed as error:
            return chunks, error.failure, told.events
        if hears:
            async with asyncio.timeout(20):
                await told.came.wait()
        return chunks, None, told.events

    async def twice(played: Played, params: dict[str, Any], expected: bool, hears: bool) -> tuple[Any, Any]:
        was_ahead: list[bool] = []

        def noted(*args: Any) -> Any:
            found = ahead(*args)
            was_ahead.append(isinstance(found, _Ahead))
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(litellm_backend, "read_ahead", lambda wrapper, *_: wrapper)
            theirs = await once(played, params, hears)
            patch.setattr(litellm_backend, "read_ahead", noted)
            ours = await once(played, params, hears)
        assert was_ahead == [expected]
        return theirs, ours

    def read(
        *pieces: Any, done: bytes = DONE, ends: Any = "whole", ahead: bool = True, hears: bool = False, **params: Any
    ) -> Any:
        body = pieces[0] if pieces and isinstance(pieces[0], bytes) else events(*pieces, done=done)
        return portal.call(twice, Played(200, EVENTS, [body], chunked=True, ends=ends), params, ahead, hears)

    yield read
    litellm.logging_callback_manager.remove_callback_from_all_lists(told)


_OF_THE_CALL = re.compile(r"chatcmpl-[0-9a-f-]{36}|127\.0\.0\.1:\d+")


def as_seen(chunk: Chunk) -> Any:
    """A chunk without what differs from call to call by itself."""
    raw = None if chunk.raw is None else chunk.raw.model_dump(exclude={"created", "id"})
    return chunk.choices, chunk.usage, chunk.cost_usd, chunk.extra, raw


def same(both: tuple[Any, Any]) -> Any:
    theirs, ours = both
    assert ours[0] == theirs[0]
    assert _OF_THE_CALL.sub("", str(ours[1])) == _OF_THE_CALL.sub("", str(theirs[1]))
    return ours


texts = st.sampled_from(["", "a", "The", " oldest", "assistant", "🌉", "\n\n", "  ", "\ud83d", "</think>"]) | st.text(
    max_size=5
)
deltas = st.one_of(
    texts.map(lambda text: {"content": text}),
    texts.map(lambda text: {"content": text}),
    texts.map(lambda text: {"role": "assistant", "content": text}),
    texts.map(lambda text: {"content": None, "reasoning_content": text}),
    texts.map(lambda text: {"reasoning": text, "content": ""}),
    texts.map(lambda text: {"content": text, "refusal": None, "tool_calls": None}),
    texts.map(lambda text: {"content": text, "reasoning_content": text}),
    texts.map(lambda text: {"refusal": text}),
    texts.map(lambda text: {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}),
    texts.map(lambda text: {"content": text, "annotations": [{"type": "url_citation"}]}),
    st.just({}),
)
extras = st.fixed_dictionaries(
    {},
    optional={
        "obfuscation": st.sampled_from(["x", "yz"]),
        "system_fingerprint": st.sampled_from(["fp_1", "fp_2", None]),
        "service_tier": st.sampled_from(["default", "flex"]),
        "provider": st.sampled_from(["A", "B"]),
        "citations": st.just(["http://a.test"]),
        "usage": st.none() | st.just(USED),
        "model": st.sampled_from(["gpt-4o", "gpt-4o-2024-08-06"]),
        "id": st.sampled_from(["1", "2"]),
    },
)
pieces = st.builds(
    lambda delta, finish, more: piece(delta, finish, **more),
    deltas,
    st.sampled_from([None] * 9 + ["stop", "length"]),
    st.just({}) | extras,
)
odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, [], "text", {}, {"choices": []}, {"choices": [None]}, {"choices": [{}]}, {"error": {"message": "no"}}]
)


@settings(max_examples=300)
@given(
    parts=st.lists(pieces | st.sampled_from(WORDS) | st.sampled_from(WORDS) | pieces | odd, max_size=14),
    cut=st.booleans(),
)
def test_any_stream_has_the_same_chunks(read: Read, parts: list[Any], cut: bool) -> None:
    same(read(BEGIN, *parts, END, USAGE, ends="cut" if cut else "whole"))


def test_a_plain_stream_is_told_to_callbacks_in_the_same_words(read: Read) -> None:
    thoughts = [thought(text) for text in ("Hm", ", so", " be", " it.")]
    theirs, ours = read(BEGIN, *thoughts, *WORDS, END, USAGE, hears=True)
    assert ours[2] == theirs[2]
    ((response, tokens, cost_usd),) = ours[2]
    assert response["choices"][0]["message"]["content"] == "The oldest bridge is in Arkadiko."
    assert response["choices"][0]["message"]["reasoning_content"] == "Hm, so be it."
    assert (tokens, cost_usd > 0) == (17, True)


def test_a_stream_that_goes_round_in_circles_ends_where_litellm_ends_it(read: Read) -> None:
    (_, failure, _) = same(read(BEGIN, *WORDS, *[said(" again")] * 150, END, USAGE))
    assert "repeating" in failure.reason or failure.kind == "unavailable"


@pytest.mark.parametrize(
    "body",
    [
        events(BEGIN, *WORDS, done=b""),
        events(BEGIN, *WORDS, done=b"data: {broken\n\n"),
        events(BEGIN, *WORDS, {"error": {"message": "overloaded", "code": 503}}, done=b""),
        events(BEGIN, *WORDS, done=b"data: null\n\n" + events(*WORDS, END)),
        events(BEGIN, *WORDS[:2]) + b"data: not read\n\n",
        b"event: message\n" + events(BEGIN, *WORDS, END),
        b"",
    ],
    ids=["no end", "no JSON", "an error", "null within", "more after the end", "named events", "nothing"],
)
def test_a_stream_that_is_not_as_it_should_be_ends_the_same(read: Read, body: bytes) -> None:
    same(read(body))


@pytest.mark.parametrize(
    "case", ["merged thoughts", "rules", "response cache", "debugging", "limited", "another transport"]
)
def test_litellm_reads_alone_where_it_does_more_with_a_text(
    read: Read, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    params: dict[str, Any] = {}
    match case:
        case "merged thoughts":
            params["merge_reasoning_content_in_choices"] = True
        case "rules":
            monkeypatch.setattr(litellm, "post_call_rules", [lambda text: None])
        case "response cache":
            monkeypatch.setattr(litellm, "cache", Cache())
            params["cache"] = {"no-cache": True, "no-store": True}
        case "debugging":
            caplog.set_level(logging.DEBUG, "LiteLLM")
        case "limited":
            monkeypatch.setattr(litellm.constants, "LITELLM_MAX_STREAMING_DURATION_SECONDS", 600.0)
        case _:
            monkeypatch.setattr(litellm, "disable_aiohttp_transport", True)
            params["api_key"] = "sk-of-this-test"
    same(read(BEGIN, *WORDS, END, USAGE, ahead=False, **params))


def test_each_token_is_passed_on_when_it_comes(server: PlayedServer, portal: BlockingPortal) -> None:
    async def first_words() -> list[Any]:
        server.plays = Played(200, EVENTS, [events(BEGIN, *WORDS, done=b"")], chunked=True, ends="silent")
        request = AttemptRequest("openai/gpt-4o", MESSAGES, {"api_base": server.base_url, "api_key": "sk-played"})
        seen: list[Any] = []
        async with contextlib.aclosing(LiteLLMBackend(LiteLLMFacts()).stream(request)) as stream:
            async for chunk in stream:
                seen += [choice.delta.get("content") for choice in chunk.choices]
                if len(seen) == 1 + len(WORDS):
                    return seen
        return seen

    assert portal.call(first_words) == ["", *(word["choices"][0]["delta"]["content"] for word in WORDS)]
