"""Streams of a composite, read as its users read them."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import litellm
from litellm.types.utils import ModelResponseStream

import composite_llm
from composite_llm.model.trace import Trace
from fake_server import ThreadedServer
from tests.support.asking import KEY, MESSAGES, MOA

_numbers = itertools.count(1)


def asked_anew() -> dict[str, Any]:
    """A question that nobody has asked before: the answers of a run that failed are kept for its repetition."""
    return {"messages": [{"role": "user", "content": f"Which bridge is number {next(_numbers):06d}?"}]}


def request(server: ThreadedServer, model: str = MOA, **options: Any) -> dict[str, Any]:
    """The keyword arguments of one question."""
    return {"model": model, "messages": MESSAGES, "api_base": server.base_url, "api_key": KEY, **options}


@asynccontextmanager
async def streaming(server: ThreadedServer, model: str = MOA, **options: Any) -> AsyncIterator[Any]:
    """An async stream, closed in the end."""
    stream = await litellm.acompletion(**request(server, model, **options), stream=True)
    try:
        yield stream
    finally:
        await stream.aclose()


@dataclass(frozen=True)
class Streamed:
    """A stream that was read to its end."""

    chunks: Sequence[ModelResponseStream]
    trace: Trace

    @property
    def built(self) -> litellm.ModelResponse:
        """As `litellm.stream_chunk_builder` puts it together."""
        response = litellm.stream_chunk_builder(list(self.chunks), messages=MESSAGES)
        assert isinstance(response, litellm.ModelResponse)
        return response

    @property
    def reasoning(self) -> str:
        """All reasoning deltas of the first choice."""
        return text_of(self.chunks, "reasoning_content")

    @property
    def content(self) -> str:
        """All content deltas of the first choice."""
        return text_of(self.chunks, "content")

    @property
    def finish_reasons(self) -> dict[int, str]:
        """The finish reason of each choice."""
        choices: list[Any] = [choice for chunk in self.chunks for choice in chunk.choices]
        return {choice.index: choice.finish_reason for choice in choices if choice.finish_reason}

    @property
    def usage(self) -> Any:
        """The last usage that a chunk carried; None if none did."""
        found: list[Any] = [getattr(chunk, "usage", None) for chunk in self.chunks]
        return next((usage for usage in reversed(found) if usage is not None), None)


def text_of(chunks: Iterable[ModelResponseStream], field: str, index: int = 0) -> str:
    """What the deltas of one choice say in one field."""
    pieces = (
        getattr(choice.delta, field, None) for chunk in chunks for choice in chunk.choices if choice.index == index
    )
    return "".join(piece for piece in pieces if piece)


async def streamed(server: ThreadedServer, model: str = MOA, **options: Any) -> Streamed:
    """One question, its async stream read to the end."""
    async with streaming(server, model, **options) as stream:
        chunks = [chunk async for chunk in stream]
        return Streamed(chunks, composite_llm.get_trace(stream))


def streamed_sync(server: ThreadedServer, model: str = MOA, **options: Any) -> Streamed:
    """One question, its sync stream read to the end."""
    stream: Any = litellm.completion(**request(server, model, **options), stream=True)
    chunks = list(stream)
    return Streamed(chunks, composite_llm.get_trace(stream))


def close(stream: Any) -> None:
    """Close a sync stream, which LiteLLM's have a method for from 1.109 on."""
    if hasattr(stream, "close"):
        stream.close()
    else:
        stream.completion_stream.close()


def eventually(condition: Callable[[], bool], timeout_s: float = 20) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def accumulated(chunks: Iterable[ModelResponseStream]) -> dict[int, dict[str, Any]]:
    """The message of each choice, added up as the `openai` client adds up its chunks: text joins, lists go by index."""
    messages: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk.model_dump(exclude_none=True)["choices"]:
            _add(messages.setdefault(choice["index"], {}), choice["delta"])
    return messages


def _add(total: dict[str, Any], delta: dict[str, Any]) -> None:
    # The rules of `openai.lib.streaming._deltas.accumulate_delta`, which is private.
    for key, value in delta.items():
        before = total.get(key)
        if before is None or key in ("index", "type", "role"):
            total[key] = value
        elif isinstance(before, str) and isinstance(value, str):
            total[key] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            _add(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            for entry in value:
                same = next((old for old in before if old.get("index") == entry.get("index")), None)
                if same is None:
                    before.append(entry)
                else:
                    _add(same, entry)
