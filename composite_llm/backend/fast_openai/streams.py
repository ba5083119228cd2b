"""Streamed answers in the form in which LiteLLM reads the SDK's.

The SDK's own stream stays in charge of the end, of errors in the stream and of those on the way; what is replaced is how
its bytes become events and an event a chunk.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI, AsyncStream

from composite_llm.backend import compat
from composite_llm.backend.fast_openai.chunks import chunk_of
from composite_llm.backend.fast_openai.exchange import Received

if TYPE_CHECKING:
    from openai._legacy_response import LegacyAPIResponse
else:
    LegacyAPIResponse = compat.RAW_RESPONSE.required()


class RawStream(LegacyAPIResponse[Any]):
    """A stream with the headers that it came with.

    Args:
        client: The SDK's.
        received: The answer's head.
    """

    def __init__(self, client: AsyncOpenAI, received: Received) -> None:
        # Not the SDK's, as for a plain answer.
        self._sdk = client
        self._received = received

    @property
    def headers(self) -> Any:
        """By their names in lower case."""
        return self._received.headers

    def parse(self, *, to: Any = None) -> Any:  # the SDK's signature
        """The chunks."""
        response: Any = self._received.as_httpx()
        reader: Any = _Reader(self._sdk)
        return Chunks(cast_to=object, response=response, client=reader)


class Chunks(AsyncStream[Any]):
    """The SDK's stream, which is its own iterator here."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return compat.STREAM_ITERATOR.read(self)  # type: ignore[no-any-return]  # an async generator of the SDK's

    def as_json(self) -> AsyncGenerator[Any, None]:
        """The same as plain JSON, from here on."""
        compat.STREAM_CLIENT.read(self).plain = True
        return compat.STREAM_ITERATOR.read(self)  # type: ignore[no-any-return]  # as above


class _Reader:
    """What the SDK's stream asks of its client."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._sdk = client
        self.plain = False

    def _make_sse_decoder(self) -> Events:
        return Events(compat.SSE_DECODER.read(self._sdk)())

    def _process_response_data(self, *, data: Any, **_: Any) -> Any:
        return data if self.plain else chunk_of(data)


class Events:
    """Server-sent events. Those that are one line of data, as all providers send them, are read here, others by the SDK.

    Args:
        sdk: The SDK's decoder, as new.
    """

    def __init__(self, sdk: Any) -> None:
        self._sdk = sdk

    async def aiter_bytes(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
        """Each event of a stream of bytes that may be cut anywhere."""
        rest, seen = b"", 0
        async for piece in pieces:
            rest += piece
            lines, rest, understood = ([], rest, False) if b"\r" in piece else _lines(rest, seen)
            for line in lines:
                # The whole line, comments too, so that what is no UTF-8 is the same error.
                text = line.decode()
                if text.startswith("data:"):
                    yield Event(text[5:].removeprefix(" "))
            if not understood:
                break
            seen = len(rest)
        if rest:
            async for event in self._sdk.aiter_bytes(_after(rest, pieces)):
                yield event


def _lines(text: bytes, seen: int) -> tuple[list[bytes], bytes, bool]:
    """The lines of the events that are whole.

    Args:
        text: From the beginning of an event.
        seen: How much of it is known to be no whole event.

    Returns:
        Lines; the text after them; whether all events before that text are one line of data, or a comment.
    """
    found: list[bytes] = []
    begin = 0
    end = text.find(b"\n\n", max(0, seen - 1))
    while end >= 0:
        line = text[begin:end].lstrip(b"\n")
        if line:
            if b"\n" in line or not line.startswith((b"data:", b":")):
                return found, text[begin:], False
            found.append(line)
        begin = end + 2
        end = text.find(b"\n\n", begin)
    return found, text[begin:], True


async def _after(first: bytes, others: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in others:
        yield piece


class Event:
    """One event without a name.

    Attributes:
        data: Its text.
    """

    __slots__ = ("data",)
    event = None

    def __init__(self, data: str) -> None:
        self.data = data

    def json(self) -> Any:
        """Its text as JSON."""
        return json.loads(self.data)
