"""Attempts go around the OpenAI SDK: nothing of it may be seen but the time saved.

Each case is asked twice, in LiteLLM's own way and in ours, of a server that plays the same to both.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import FrameType
from typing import Any

import httpx
import litellm
import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.integrations.custom_logger import CustomLogger
from openai import AsyncOpenAI
from openai._models import construct_type
from openai.resources.chat.completions import AsyncCompletions
from openai.types.chat import ChatCompletionChunk

import composite_llm
from composite_llm.backend import fast_openai
from composite_llm.backend.fast_openai.chunks import chunk_of
from composite_llm.backend.fast_openai.seam import install_seam
from composite_llm.backend.fast_openai.streams import Events
from composite_llm.backend.reentry import ReentryGuard, guarded
from tests.support.asking import MESSAGES
from tests.support.played_server import Played, PlayedServer, played_server

MODEL = "openai/gpt-4o-mini"
OURS = {"max_retries": 0, "num_retries": 0, "timeout": 600.0, "api_key": "sk-played"}
JSON = [("Content-Type", "application/json")]
EVENTS = [("Content-Type", "text/event-stream; charset=utf-8")]
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "So.", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}


def plays(body: Any, status: int = 200, *headers: tuple[str, str]) -> Played:
    """A JSON body."""
    return Played(status, [*JSON, *headers], [json.dumps(body).encode()])


def streams(*pieces: bytes | dict[str, Any], ends: Any = "whole") -> Played:
    """Events, each in a segment of its own."""
    written = [one if isinstance(one, bytes) else b"data: %b\n\n" % json.dumps(one).encode() for one in pieces]
    return Played(200, EVENTS, written, chunked=True, ends=ends)


def piece(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [choice],
        **more,
    }


USED = {
    "choices": [],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "id": "1",
    "created": 1,
}
STREAM = (
    piece({"role": "assistant"}),
    piece({"content": "Sö"}),
    piece({"content": " it is."}),
    piece({}, "stop"),
    USED,
)
DONE = b"data: [DONE]\n\n"


class Told(CustomLogger):
    """What LiteLLM tells an application's callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.came = asyncio.Event()

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note("success", kwargs)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note("failure", kwargs)

    def _note(self, event: str, kwargs: Any) -> None:
        self.events.append([event, seen(kwargs["standard_logging_object"])])
        self.came.set()


_MOMENTS = re.compile(r"0x[0-9a-f]+|chatcmpl-[0-9a-f-]{36}|created=\d+|time taken=[\d.]+|127\.0\.0\.1:\d+")
_OF_THE_CALL = re.compile(r"(?i)time|^id$|created|_ms$|call_id|trace_id|^date$|response_id|duration")


def seen(value: Any) -> Any:
    """The same without what differs from call to call by itself."""
    if isinstance(value, Mapping):
        return {str(key): seen(inner) for key, inner in value.items() if not _OF_THE_CALL.search(str(key))}
    if isinstance(value, list | tuple):
        return [seen(inner) for inner in value]
    if hasattr(value, "model_dump"):
        return seen(value.model_dump())
    return _MOMENTS.sub("…", value) if isinstance(value, str) else value


@dataclass
class Outcome:
    """What came of a call, and by which way it was sent."""

    result: Any
    requests: list[Any]
    way: str
    told: list[Any] = field(default_factory=list)


class Watched:
    """Which way requests took, by the functions that this thread called."""

    SDK = ("AsyncAPIClient.request", "openai")
    OURS = ("exchange", "fast_openai")

    def __init__(self) -> None:
        self.ways: set[str] = set()

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            for name, (function, package) in (("sdk", self.SDK), ("fast", self.OURS)):
                if frame.f_code.co_qualname == function and package in frame.f_code.co_filename:
                    self.ways.add(name)

    @property
    def way(self) -> str:
        return "+".join(sorted(self.ways))


async def made(call: Callable[[], Any], *, stream: bool) -> Any:
    """What LiteLLM makes of an answer, or of an error."""
    chunks: list[Any] = []
    try:
        response: Any = await call()
        if not stream:
            return [response, response._hidden_params]
        async for chunk in response:
            chunks.append(chunk)  # noqa: PERF401  # those before an error are compared too
        return [chunks, response._hidden_params.get("additional_headers")]
    except Exception as error:  # noqa: BLE001  # either way's error is compared
        headers = getattr(error, "litellm_response_headers", None) or getattr(
            getattr(error, "response", None), "headers", None
        )
        fields = {name: getattr(error, name, None) for name in ("status_code", "code", "type", "body", "num_retries")}
        return [type(error).__name__, str(error), fields, dict(headers or {}), chunks]


async def asked(
    server: PlayedServer, told: Told, call: Callable[..., Any], *, fast: bool, stream: bool = False, hears: bool = True
) -> Outcome:
    server.forget()
    told.events, told.came, watched = [], asyncio.Event(), Watched()
    before = sys.getprofile()
    sys.setprofile(watched.note)
    try:
        with guarded(ReentryGuard(None, fast=fast)):
            result = await made(call, stream=stream)
    finally:
        sys.setprofile(before)
    if hears:
        # LiteLLM tells its callbacks by a queue.
        async with asyncio.timeout(20):
            await told.came.wait()
    return Outcome(seen(result), [as_sent(one) for one in server.asked], watched.way, told.events if hears else [])


def as_sent(request: Any) -> Any:
    return [request.line, sorted(request.headers), json.loads(request.body)]


Both = Callable[..., tuple[Outcome, Outcome]]
"""What comes of a call in LiteLLM's way, and in ours."""


@pytest.fixture(scope="module")
def server(portal: BlockingPortal, provider: None) -> Iterator[PlayedServer]:
    with portal.wrap_async_context_manager(played_server()) as running:
        yield running


@pytest.fixture(scope="module")
def told(provider: None) -> Iterator[Told]:
    told = Told()
    litellm.callbacks.append(told)
    yield told
    # LiteLLM has put it into other lists, too.
    litellm.logging_callback_manager.remove_callback_from_all_lists(told)


@pytest.fixture(scope="module")
def both(server: PlayedServer, told: Told, portal: BlockingPortal) -> Both:
    async def ask_twice(played: Played, params: dict[str, Any]) -> tuple[Outcome, Outcome]:
        server.plays = played
        # What is told of streams that fail depends on how.
        how = {"stream": "stream" in params, "hears": params.pop("hears", "stream" not in params)}
        call = {"model": MODEL, "messages": MESSAGES, **OURS, "api_base": server.base_url, **params}
        outcomes = [
            await asked(server, told, partial(litellm.acompletion, **call), fast=fast, **how) for fast in (False, True)
        ]
        return outcomes[0], outcomes[1]

    # On a loop that outlives the test: LiteLLM's logging has a task on each loop that it is called from.
    return lambda played, **params: portal.call(ask_twice, played, params)


def same(outcomes: tuple[Outcome, Outcome], way: str = "fast") -> Any:
    """Both ways did the same; returned is what."""
    theirs, ours = outcomes
    assert ours.result == theirs.result
    assert ours.requests == theirs.requests
    assert ours.told == theirs.told
    assert (theirs.way, ours.way) == ("sdk", way)
    return ours.result


# --- answers ---

texts = st.text(max_size=20)
maybe_text = st.none() | texts
scalars = st.none() | texts | st.integers(0, 9) | st.booleans()
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2))
tool_calls = st.lists(
    st.fixed_dictionaries(
        {"function": st.fixed_dictionaries({}, optional={"name": texts, "arguments": texts})},
        optional={"id": texts, "type": st.just("function"), "index": st.integers(0, 2)},
    ),
    max_size=2,
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": maybe_text,
        "refusal": maybe_text,
        "reasoning_content": maybe_text,
        "reasoning_details": st.lists(st.just({"type": "reasoning.text", "text": "Hm."}), max_size=1),
        "tool_calls": st.none() | tool_calls,
        "function_call": st.none() | st.just({"name": "look", "arguments": "{}"}),
        "annotations": st.sampled_from([[], [{"type": "url_citation", "url_citation": {"url": "http://a.test"}}]]),
        "audio": st.none(),
        "unheard_of": anything,
    },
)
choices: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"message": messages},
    optional={
        "index": st.integers(0, 3),
        "finish_reason": st.sampled_from(["stop", "length", "tool_calls", "content_filter", None]),
        "logprobs": st.none()
        | st.just({"content": [{"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}),
        "unheard_of": anything,
    },
)
usages = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 99), "completion_tokens": st.integers(0, 99), "total_tokens": st.integers(0, 198)},
    optional={
        "prompt_tokens_details": st.none() | st.just({"cached_tokens": 3}),
        "completion_tokens_details": st.none() | st.just({"reasoning_tokens": 2}),
        "cost": st.just(0.25),
        "cost_details": st.just({"upstream_inference_cost": 0.1}),
    },
)
completions = st.fixed_dictionaries(
    {"choices": st.lists(choices, max_size=3)},
    optional={
        "id": texts,
        "object": st.just("chat.completion"),
        "created": st.integers(0, 2**31),
        "model": st.sampled_from(["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "other"]),
        "usage": usages | st.none(),
        "system_fingerprint": maybe_text,
        "service_tier": st.sampled_from(["default", "flex", None]),
        "unheard_of": anything,
    },
)


@settings(max_examples=150)
@given(body=completions | anything)
def test_any_answer_becomes_the_same_response(both: Both, body: Any) -> None:
    same(both(plays(body)))


def test_an_answer_as_openai_sends_it_has_the_same_tokens_money_headers_and_events(both: Both) -> None:
    headers = [("x-request-id", "req_1"), ("x-ratelimit-remaining-requests", "7"), ("X-Twice", "a"), ("x-twice", "b")]
    outcomes = both(plays(COMPLETION, 200, *headers))
    response, hidden = same(outcomes)
    assert response["usage"]["prompt_tokens_details"]["cached_tokens"] == 4
    assert hidden["response_cost"] > 0
    assert hidden["additional_headers"]["llm_provider-x-twice"] == "a, b"
    assert [name for name, _ in outcomes[1].told] == ["success"]


deflated = zlib.compress(json.dumps(COMPLETION).encode())


@pytest.mark.parametrize(
    "played",
    [
        Played(200, JSON, [json.dumps(COMPLETION).encode()], chunked=True),
        Played(200, JSON, [bytes([one]) for one in json.dumps(COMPLETION).encode()]),
        Played(200, [*JSON, ("Content-Encoding", "deflate")], [deflated]),
        Played(200, [*JSON, ("Content-Encoding", "deflate")], [b"not deflated"]),
        Played(200, [*JSON, ("Content-Encoding", "unheard-of")], [json.dumps(COMPLETION).encode()]),
        Played(200, [("Content-Type", "text/plain")], [json.dumps(COMPLETION).encode()]),
        Played(200, [], [json.dumps(COMPLETION).encode()]),
        Played(200, [("Content-Type", "text/html; charset=latin-1")], ["<html>Nö</html>".encode("latin-1")]),
        Played(200, JSON, [b"{broken"]),
        Played(200, JSON, [b""]),
        Played(204, JSON, [b""]),
        Played(200, [("Content-Type", "application/json; charset=utf-8")], ["\ufeff{}".encode()]),
        Played(200, [*JSON, ("X-Odd", "n\xf6")], [json.dumps(COMPLETION).encode()]),
    ],
    ids=lambda played: f"{played.status} {dict(played.headers)} {played.pieces[0][:12]!r}",
)
def test_a_body_is_read_the_same_way(both: Both, played: Played) -> None:
    same(both(played))


# --- requests ---

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.mark.parametrize(
    "params",
    [
        {"tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": False, "_skip_mcp_handler": True},
        {"response_format": {"type": "json_object"}, "temperature": 0.5, "seed": 3, "stop": ["x"], "n": 2},
        {"extra_headers": {"x-team": "blue", "User-Agent": "mine", "Authorization": "Bearer other"}},
        {"extra_body": {"top_k": 4, "nested": {"a": [1, None]}}},
        {"extra_query": {"version": "2", "odd": "ä &"}, "user": "someone", "logprobs": True, "top_logprobs": 2},
        {"headers": {"x-one": "1"}, "timeout": 12.5},
        {"timeout": httpx.Timeout(9.0, connect=1.0)},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Was ist das? äöü€😀"}, PICTURE]}]},
        {"messages": [{"role": "user", "content": "half \ud83d an emoji"}]},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"organization": "org-1"},
        {"top_k": 3, "unheard_of": {"a": 1}},
        {"reasoning_effort": "low", "model": "openai/gpt-5-mini"},
    ],
    ids=lambda params: "+".join(params),
)
def test_the_same_request_goes_upstream(both: Both, params: dict[str, Any]) -> None:
    theirs, ours = both(streams(*STREAM, DONE) if params.get("stream") else plays(COMPLETION), **params)
    assert ours.requests == theirs.requests
    assert ours.result == theirs.result


def test_default_headers_of_the_sdk_and_of_litellm_go_along(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-custom: yes")
    monkeypatch.setattr(litellm, "headers", {"x-global": "1"})
    same(both(plays(COMPLETION), api_key="sk-of-this-test"))


@pytest.mark.parametrize(
    ("variables", "attributes"),
    [
        ({"OPENAI_API_KEY": "sk-environment", "OPENAI_BASE_URL": "here"}, {}),
        ({"OPENAI_API_KEY": "sk-environment", "OPENAI_API_BASE": "here"}, {}),
        ({"OPENAI_API_KEY": "sk-environment", "OPENAI_ORGANIZATION": "org-2"}, {"api_base": "here"}),
        ({}, {"openai_key": "sk-openai", "api_base": "here", "organization": "org-3"}),
    ],
)
def test_key_and_endpoint_are_found_where_litellm_finds_them(
    both: Both,
    server: PlayedServer,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    attributes: dict[str, str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("here", server.base_url))
    for name, value in attributes.items():
        monkeypatch.setattr(litellm, name, value.replace("here", server.base_url))
    same(both(plays(COMPLETION), api_key=None, api_base=None))


def test_a_proxy_from_the_environment_is_asked(
    both: Both, server: PlayedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.base_url.removesuffix("/v1"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    outcomes = both(plays(COMPLETION), api_base="http://far.test/v1", api_key="sk-behind-a-proxy")
    same(outcomes)
    assert outcomes[1].requests[0][0] == "POST http://far.test/v1/chat/completions HTTP/1.1"


def test_cookies_of_an_answer_come_back_with_the_next_request(both: Both) -> None:
    cookie = ("Set-Cookie", "seen=1; Path=/")
    both(plays(COMPLETION, 200, cookie), api_key="sk-cookies")
    outcomes = both(plays(COMPLETION), api_key="sk-cookies")
    same(outcomes)
    assert ("cookie", "seen=1") in outcomes[1].requests[0][1]


# --- errors ---


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "played",
    [
        *(
            plays({"error": {"message": "no", "code": code, "type": "t"}}, status, ("Retry-After", "7"))
            for status, code in [
                (400, "context_length_exceeded"),
                (401, "invalid_api_key"),
                (403, None),
                (404, "model_not_found"),
                (408, None),
                (409, None),
                (413, None),
                (422, None),
                (429, "rate_limit_exceeded"),
                (500, None),
                (503, None),
                (529, None),
            ]
        ),
        plays({"detail": "no"}, 400),
        plays({"error": "no"}, 400),
        plays(
            {"error": {"message": "Could not finish the message because max_tokens or model output limit was reached"}},
            400,
        ),
        plays({"error": {"message": "Conversation roles must alternate user/assistant"}}, 400),
        plays([], 500),
        Played(502, [("Content-Type", "text/html")], [b"<html>no</html>"]),
        Played(500, JSON, [b""]),
        Played(304, JSON, [b""]),
        Played(429, [*JSON, ("Content-Encoding", "deflate")], [zlib.compress(b'{"error": {"message": "slow"}}')]),
        Played(400, JSON, [b'{"error": '], ends="cut"),
    ],
    ids=lambda played: f"{played.status} {played.pieces[0][:40]!r}",
)
def test_a_refusal_becomes_the_same_error(both: Both, played: Played, stream: bool) -> None:
    same(both(played, **({"stream": True} if stream else {})))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "played",
    [
        Played(ends="unanswered"),
        Played(pieces=[b'{"choices'], ends="cut"),
        Played(pieces=[b'{"choices'], ends="cut", chunked=True),
        Played(200, EVENTS, [b"data: {"], ends="cut", chunked=True),
    ],
    ids=["before the answer", "within it", "within a chunked one", "within a stream"],
)
def test_a_broken_connection_becomes_the_same_error(both: Both, played: Played, stream: bool) -> None:
    same(both(played, **({"stream": True} if stream else {})))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "played",
    [Played(ends="ignored"), Played(pieces=[b'{"choices'], ends="silent"), streams(STREAM[1], ends="silent")],
    ids=["no answer", "half an answer", "half a stream"],
)
def test_a_time_limit_becomes_the_same_error(both: Both, played: Played, stream: bool) -> None:
    same(both(played, timeout=0.2, **({"stream": True} if stream else {})))


def test_nobody_at_the_address_becomes_the_same_error(both: Both) -> None:
    same(both(Played(), api_base="http://127.0.0.1:9/v1"))


def test_another_address_is_followed_as_litellm_follows_it(both: Both, server: PlayedServer) -> None:
    theirs, ours = both(Played(307, [("Location", f"{server.base_url}/elsewhere")], [b""]), api_key="sk-moved")
    assert ours.result == theirs.result
    assert ours.way == "fast+sdk"


# --- streams ---


@pytest.mark.parametrize(
    "played",
    [
        streams(*STREAM, DONE),
        streams(*STREAM),
        streams(DONE),
        streams(b""),
        streams(b": processing\n\n", *STREAM, b": end\n\n", DONE),
        streams(b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in STREAM) + DONE + b"data: not read\n\n"),
        streams(b"data:" + json.dumps(STREAM[1]).encode() + b"\n\n", DONE),
        streams(b"event: message\nid: 1\nretry: 3\ndata: " + json.dumps(STREAM[1]).encode() + b"\n\n", *STREAM, DONE),
        streams(STREAM[1], b"data: {\ndata: }\n\n", STREAM[2], DONE),
        streams(*(b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in STREAM), DONE),
        streams(STREAM[1], {"error": {"message": "overloaded", "code": 503}}),
        streams(STREAM[1], {"error": {"message": None}}),
        streams(STREAM[1], {"error": "no"}),
        streams(STREAM[1], b"event: error\ndata: {}\n\n"),
        streams(STREAM[1], b"data: {broken\n\n"),
        streams(STREAM[1], b"data: \xff\n\n"),
        streams(STREAM[1], b"data: null\n\n", b"data: []\n\n", b'data: "text"\n\n', DONE),
        streams(STREAM[1], ends="cut"),
        streams(piece({"content": "Yes"}, "stop", usage=USED["usage"]), DONE),
        streams(piece({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]}), DONE),
        Played(200, [*EVENTS, ("Content-Encoding", "deflate")], [zlib.compress(b"data: {}\n\n" + DONE)]),
        plays(COMPLETION),
        Played(200, EVENTS, [DONE], ends="cut"),
    ],
    ids=lambda played: repr(played.pieces[min(1, len(played.pieces) - 1)][:40]),
)
def test_a_stream_has_the_same_chunks(both: Both, played: Played) -> None:
    same(both(played, stream=True, stream_options={"include_usage": True}))


SDK: Any = AsyncOpenAI(api_key="sk-asks-nobody")


@settings(max_examples=300)
@given(data=st.data())
def test_any_bytes_become_the_events_that_the_sdk_reads(data: st.DataObject) -> None:
    parts = st.sampled_from(
        [b"data: {}", b"data:1", b"data", b": c", b"id: 1", b"\n", b"\n\n", b"\r\n", b"\r", b"event: e"]
    )
    text = b"".join(data.draw(st.lists(parts | st.binary(max_size=3), max_size=12)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    async def events(decoder: Any) -> list[Any]:
        found: list[Any] = []
        try:
            async for event in decoder.aiter_bytes(_each(pieces)):
                found.append((event.event, event.data))  # noqa: PERF401  # as above
        except UnicodeDecodeError:
            found.append("not UTF-8")
        return found

    async def both_ways() -> tuple[Any, Any]:
        return await events(SDK._make_sse_decoder()), await events(Events(SDK._make_sse_decoder()))

    theirs, ours = asyncio.run(both_ways())
    assert ours == theirs


async def _each(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for one in pieces:
        yield one


deltas = st.dictionaries(
    st.sampled_from(["role", "content", "refusal", "reasoning_content", "unheard_of"]), st.none() | texts, max_size=4
) | st.fixed_dictionaries(
    {},
    optional={
        "content": maybe_text,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"index": st.integers(0, 3)},
                optional={"id": maybe_text, "function": st.fixed_dictionaries({}, optional={"arguments": maybe_text})},
            ),
            max_size=2,
        ),
        "unheard_of": st.dictionaries(texts, scalars, max_size=2),
    },
)
pieces = st.fixed_dictionaries(
    {},
    optional={
        "id": maybe_text,
        "choices": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": st.integers(0, 3),
                    "delta": st.none() | deltas,
                    "finish_reason": st.sampled_from(["stop", None]),
                    "logprobs": st.none() | st.just({"content": [{"token": "a", "logprob": -0.1}]}),
                    "unheard_of": scalars,
                },
            ),
            max_size=3,
        ),
        "usage": st.none() | usages,
        "created": st.integers(0, 2**31),
        "unheard_of": scalars,
    },
)


@settings(max_examples=400)
@given(piece=pieces | st.lists(scalars, max_size=2) | scalars)
def test_any_piece_of_a_stream_becomes_the_chunk_that_the_sdk_makes_of_it(piece: Any) -> None:
    ours: Any = chunk_of(piece)
    theirs: Any = construct_type(type_=ChatCompletionChunk, value=piece)
    assert ours == theirs
    assert type(ours) is type(theirs)
    if isinstance(theirs, ChatCompletionChunk):
        assert ours.model_dump(exclude_unset=True) == theirs.model_dump(exclude_unset=True)
        assert ours.model_dump() == theirs.model_dump()
        assert [type(choice) for choice in ours.choices or ()] == [type(choice) for choice in theirs.choices or ()]


def test_a_stream_is_told_to_callbacks_with_the_same_tokens_and_money(both: Both) -> None:
    outcomes = both(streams(*STREAM, DONE), stream=True, stream_options={"include_usage": True}, hears=True)
    same(outcomes)
    ((event, payload),) = outcomes[1].told
    assert (event, payload["total_tokens"]) == ("success", 3)
    assert payload["response_cost"] > 0


# --- where it is used, and where not ---

PROVIDERS = [
    "openai", "custom_openai", "lm_studio", "llamafile", "litellm_proxy", "together_ai", "perplexity", "deepinfra",
    "nvidia_nim", "cerebras", "sambanova", "moonshot", "dashscope", "zai", "github", "novita", "hosted_vllm",
    "openrouter", "deepseek", "fireworks_ai", "xai", "mistral",
]  # fmt: skip
NEVER_SDK = {"openrouter", "deepseek", "fireworks_ai", "xai", "mistral", "hosted_vllm"}


@pytest.mark.parametrize("name", PROVIDERS)
def test_whatever_litellm_sends_through_the_sdk_goes_around_it(both: Both, name: str) -> None:
    theirs, ours = both(plays(COMPLETION), model=f"{name}/some-model")
    assert ours.result == theirs.result
    assert ours.requests == theirs.requests
    if theirs.way == "":
        # Through LiteLLM's own HTTP client.
        assert name in {*NEVER_SDK, "together_ai"}
    assert ours.way == theirs.way.replace("sdk", "fast")


def test_a_failed_attempt_is_one_request_also_where_litellm_forgets_that_it_was_asked_for_one(both: Both) -> None:
    _, ours = both(plays({"error": {"message": "no"}}, 500), model="deepinfra/some-model")
    assert len(ours.requests) == 1


def test_a_router_s_deployment_is_asked_the_same_way(server: PlayedServer, told: Told, portal: BlockingPortal) -> None:
    deployment = {"model": MODEL, "api_base": server.base_url, "api_key": "sk-routed"}
    router = litellm.Router(
        model_list=[{"model_name": "pool", "litellm_params": deployment, "model_info": {"id": "one"}}], num_retries=0
    )
    server.plays = plays(COMPLETION)
    call = partial(router.acompletion, model="pool", messages=MESSAGES)
    theirs, ours = (portal.call(partial(asked, server, told, call, fast=fast)) for fast in (False, True))
    same((theirs, ours))
    assert ours.result[1]["model_id"] == "one"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fast", [True, False])
def test_attempts_of_a_composite_go_around_the_sdk_unless_told_not_to(
    server: PlayedServer, told: Told, portal: BlockingPortal, no_cached_answers: None, fast: bool, stream: bool
) -> None:
    # Also as the answer to the final call of a stream: some servers ignore `stream`.
    server.plays = plays(COMPLETION)
    options = {"model": "composite/moa/openai/gpt-4o", "proposers": [MODEL, MODEL], "api_base": server.base_url}
    call = partial(litellm.acompletion, messages=MESSAGES, api_key="sk-played", stream=stream, **options)
    composite_llm.register(config={}, fast_openai=fast)
    outcome = portal.call(partial(asked, server, told, call, fast=False, stream=stream))
    composite_llm.register(config={})
    assert (outcome.way, len(outcome.requests)) == ("fast" if fast else "sdk", 3)


async def hooked(_request: Any) -> None:
    """What an application wants to see of each request."""


@pytest.mark.parametrize("case", ["httpx transport", "own client", "own session", "hooks", "watched SDK", "debug log"])
def test_litellm_sends_by_itself_where_its_transport_is_not_its_own(
    both: Both,
    server: PlayedServer,
    portal: BlockingPortal,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    case: str,
) -> None:
    own: dict[str, Any] = {"api_key": f"sk-{case}"}
    closing: Any = None
    match case:
        case "httpx transport":
            monkeypatch.setattr(litellm, "disable_aiohttp_transport", True)
        case "own client":
            own = {"client": AsyncOpenAI(api_key="sk-own", base_url=server.base_url, max_retries=0)}
            closing = own["client"].close
        case "own session":
            session = httpx.AsyncClient()
            monkeypatch.setattr(litellm, "aclient_session", session)
            closing = session.aclose
        case "hooks":
            both(plays(COMPLETION), **own)
            for kept in litellm.in_memory_llm_clients_cache.cache_dict.values():
                if isinstance(kept, AsyncOpenAI) and kept.api_key == own["api_key"]:
                    kept._client.event_hooks = {"request": [hooked]}
        case "watched SDK":
            original = AsyncCompletions.create
            monkeypatch.setattr(AsyncCompletions, "create", lambda *args, **kwargs: original(*args, **kwargs))
        case _:
            caplog.set_level(logging.DEBUG, "openai")
    same(both(plays(COMPLETION), **own), way="sdk")
    if closing is not None:
        portal.call(closing)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "played",
    [Played(ends="ignored"), Played(pieces=[b'{"choices'], ends="silent"), streams(STREAM[1], ends="silent")],
    ids=["no answer", "half an answer", "half a stream"],
)
def test_a_cancelled_call_closes_its_connection(
    server: PlayedServer, portal: BlockingPortal, played: Played, stream: bool
) -> None:
    async def cancelled() -> None:
        server.forget()
        server.plays = played
        call = partial(litellm.acompletion, model=MODEL, messages=MESSAGES, **OURS, api_base=server.base_url)
        with guarded(ReentryGuard(None, fast=True)):
            task = asyncio.create_task(made(partial(call, stream=stream), stream=stream))
        await server.arrived.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await server.closed.wait()

    portal.call(cancelled)


@pytest.mark.parametrize("at_once", [False, True])
def test_connections_are_used_again_as_litellm_uses_them(
    server: PlayedServer, portal: BlockingPortal, at_once: bool
) -> None:
    async def opened(*, fast: bool) -> int:
        server.forget()
        for played in (plays(COMPLETION), replace(streams(*STREAM, DONE), at_once=at_once), plays(COMPLETION)):
            server.plays = played
            how = {"stream": played.chunked, "api_base": server.base_url, "api_key": f"sk-{fast}-{at_once}"}
            with guarded(ReentryGuard(None, fast=fast)):
                await made(
                    partial(litellm.acompletion, model=MODEL, messages=MESSAGES, **{**OURS, **how}),
                    stream=played.chunked,
                )
        assert len(server.asked) == 3
        return server.connections

    assert portal.call(partial(opened, fast=True)) == portal.call(partial(opened, fast=False))


def test_requests_are_noted_in_the_log_of_httpx(both: Both, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "httpx")
    both(plays(COMPLETION))
    theirs, ours = (record.getMessage() for record in caplog.records if record.name == "httpx")
    assert ours == theirs


class Handler:
    """Another version of LiteLLM's."""

    async def make_openai_chat_completion_request(self, openai_aclient: Any, data: Any) -> Any:
        """With other parameters."""


def test_another_litellm_sends_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_seam(object()) is False
    assert install_seam(Handler()) is False
    assert fast_openai.install() is True
    monkeypatch.setitem(sys.modules, "composite_llm.backend.fast_openai.seam", None)
    assert fast_openai.install() is False
