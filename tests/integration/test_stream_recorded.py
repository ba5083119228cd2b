"""A recorded provider stream, cut into pieces at any byte, and broken off at any byte."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import litellm
import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import composite_llm
from fake_server import ThreadedServer
from tests.support.asking import FIRST, at
from tests.support.raw_server import RawServer, raw_server
from tests.support.streams import Streamed, accumulated, asked_anew, request, streamed

RECORDED = (Path(__file__).parents[1] / "assets" / "openai_stream.sse").read_bytes()
"""In OpenAI's form: text with characters of one to four bytes, two parallel tool calls in pieces, usage, comments."""
TEXT = "Ich prüfe beide: größer als 3 €? 日本語 🙂."
CALLS = [
    ("call_Zq8pLxT3", "add", '{"a":1,"b":"größer als 3 €"}'),
    ("call_Mn2vKd7R", "multiply", '{"factors":[2,3,4],"unit":"km²"}'),
]
FINISH = RECORDED.index(b'"finish_reason":"tool_calls"')
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("add", "multiply")]

PLACES = st.lists(st.integers(1, len(RECORDED) - 1), max_size=60, unique=True).map(sorted)
ANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture
def raw(portal: BlockingPortal) -> Iterator[RawServer]:
    with portal.wrap_async_context_manager(raw_server()) as running:
        yield running


def options(server: ThreadedServer, raw: RawServer) -> dict[str, Any]:
    """The final call goes to the recording, the member's to the fake server."""
    member = at(server, FIRST)
    return {"api_base": raw.base_url, "proposers": [member], "tools": TOOLS, "aggregator": {"num_retries": 0}}


def said(done: Streamed) -> tuple[Any, ...]:
    message = accumulated(done.chunks)[0]
    calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()]
    return message.get("content"), calls, done.finish_reasons


def cut(places: list[int], end: int = len(RECORDED)) -> list[bytes]:
    inside = [place for place in places if place < end]
    return [RECORDED[start:stop] for start, stop in zip([0, *inside], [*inside, end], strict=True)]


@ANY
@given(places=PLACES)
@example(places=[])
@example(places=list(range(1, len(RECORDED), 7)))
def test_any_split_of_a_recorded_stream_gives_the_same_answer_and_the_same_bill(
    server: ThreadedServer, portal: BlockingPortal, raw: RawServer, places: list[int]
) -> None:
    raw.pieces, raw.breaks_off = cut(places), False
    done = portal.call(partial(streamed, server, **options(server, raw), stream_options={"include_usage": True}))
    assert said(done) == (TEXT, CALLS, {0: "tool_calls"})
    final = done.trace.calls[-1]
    assert (final.usage.prompt_tokens, final.usage.completion_tokens, final.usage.cached_tokens) == (412, 61, 256)
    assert final.cost_usd
    assert not final.attempts[0].estimated
    assert done.usage.total_tokens == done.trace.usage.total_tokens
    assert done.usage.cost == done.trace.cost_usd


@ANY
@given(end=st.integers(0, len(RECORDED) - 1), places=PLACES)
@example(end=0, places=[])
@example(end=FINISH, places=[])
@example(end=RECORDED.index(b"\n\n", FINISH) + 2, places=[])
@example(end=len(RECORDED) - 1, places=[])
def test_a_recorded_stream_that_breaks_off_anywhere_is_whole_or_a_clear_error(
    server: ThreadedServer, portal: BlockingPortal, raw: RawServer, end: int, places: list[int]
) -> None:
    raw.pieces, raw.breaks_off = [piece for piece in cut(places, end) if piece], True
    composite_llm.reset_breakers()
    chunks, error = portal.call(partial(_until_error, request(server, **{**options(server, raw), **asked_anew()})))
    sent = len(RECORDED[: RECORDED[:end].rfind(b"\n\n") + 2]) if b"\n\n" in RECORDED[:end] else 0
    if error is None:
        assert sent > FINISH
        assert said(Streamed(chunks, composite_llm.Trace.model_construct())) == (TEXT, CALLS, {0: "tool_calls"})
        return
    assert isinstance(error, composite_llm.FinalCallFailed)
    got = accumulated(chunks)[0]
    asked = [call["function"] for call in got.get("tool_calls") or ()]
    seen = len(got.get("content") or "") + sum(len(call["name"]) + len(call["arguments"]) for call in asked)
    assert error.received_chars == seen
    assert ("characters of its answer" in error.message) == bool(seen)
    assert TEXT.startswith(got.get("content") or "")


async def _until_error(call: dict[str, Any]) -> tuple[list[Any], BaseException | None]:
    stream: Any = await litellm.acompletion(**call, stream=True)
    chunks: list[Any] = []
    try:
        async for chunk in stream:
            chunks.append(chunk)  # noqa: PERF401  # what came before the error counts
    except litellm.exceptions.MidStreamFallbackError as error:
        return chunks, error.original_exception
    except composite_llm.CompositeError as error:
        return chunks, error
    return chunks, None
