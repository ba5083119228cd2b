"""A look at a provider's own chunks before LiteLLM's stream wrapper gets them, for what the wrapper loses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta

from composite_llm.backend import compat


class Tap:
    """The provider's stream, put back into LiteLLM's wrapper around it.

    The wrapper drops deltas that hold nothing but a refusal, and of several choices it keeps one finish reason. It also
    asks the stream for an iterator at every chunk, for which the OpenAI SDK makes a generator, and the loop a task to
    end it; that costs more than all that is done with a chunk here.

    Where the provider ignored `stream=True`, the answer is made into chunks; LiteLLM would find no event in it.

    Attributes:
        source: The provider's stream.
        finish_reasons: By the choice's index, as the provider sent them.
    """

    def __init__(self, source: Any) -> None:
        self.source = source
        self._chunks: AsyncIterator[Any] = aiter(source)
        self._first = True
        self._next: list[Any] = []
        self.finish_reasons: dict[int, str] = {}

    @classmethod
    def on(cls, wrapper: Any) -> Tap | None:
        """Tap a stream that LiteLLM returned; None where there is nothing to tap."""
        name = compat.STREAM_SOURCE.name_in(wrapper)
        source = None if name is None else getattr(wrapper, name)
        if name is None or not hasattr(source, "__aiter__"):
            return None
        tap = cls(source)
        setattr(wrapper, name, tap)
        return tap

    def read_from(self, chunks: AsyncIterator[Any]) -> None:
        """Take the chunks from there from now on."""
        self._chunks = chunks

    def __aiter__(self) -> Tap:
        return self

    async def __anext__(self) -> Any:
        if self._first:
            self._first = False
            self._next = [chunk async for chunk in _plain_answer(self.source)]
        chunk = self._next.pop(0) if self._next else await anext(self._chunks)
        finished = False
        for choice in getattr(chunk, "choices", None) or ():
            if reason := getattr(choice, "finish_reason", None):
                finished = True
                self.finish_reasons[choice.index] = reason
            if lost := _lost(getattr(choice, "delta", None)):
                # A field that the wrapper passes on, and the one in which LiteLLM's plain responses hold these.
                choice.delta.provider_specific_fields = lost
        if finished and isinstance(chunk, ChatCompletionChunk) and chunk.usage is not None:
            # LiteLLM 1.94 loses usage that does not come in a chunk of its own.
            self._next.append(chunk.model_copy(update={"choices": []}))
            chunk.usage = None
        return chunk

    async def aclose(self) -> None:
        """End the connection."""
        for stream in (self._chunks, self.source):
            close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
            if close is not None:
                await close()


def _lost(delta: Any) -> dict[str, Any]:
    """What the wrapper drops of a delta in OpenAI's form."""
    refusal = getattr(delta, "refusal", None)
    lost = {"refusal": refusal} if refusal else {}
    # To ask pydantic for an attribute that is absent costs ten times as much.
    further = getattr(delta, "__pydantic_extra__", None)
    if further and isinstance(delta, ChoiceDelta):
        lost |= {name: further[name] for name in ("thinking_blocks", "reasoning_details") if further.get(name)}
    return lost


async def _plain_answer(source: Any) -> AsyncGenerator[ChatCompletionChunk, None]:
    """The chunks of an answer that came as one JSON body; nothing if it did not."""
    response = getattr(source, "response", None)
    headers = getattr(response, "headers", None) or {}
    if response is None or not str(headers.get("content-type", "")).startswith("application/json"):
        return
    await response.aread()
    body = response.json()
    envelope = {**body, "object": "chat.completion.chunk", "usage": None}
    for choice in body["choices"]:
        message = dict(choice["message"])
        if message.get("tool_calls"):
            message["tool_calls"] = [{"index": index, **call} for index, call in enumerate(message["tool_calls"])]
        delta = {"index": choice["index"], "delta": message, "logprobs": choice.get("logprobs"), "finish_reason": None}
        yield ChatCompletionChunk.construct(**{**envelope, "choices": [delta]})
        finish = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
        yield ChatCompletionChunk.construct(**{**envelope, "choices": [finish]})
    yield ChatCompletionChunk.construct(**{**envelope, "choices": [], "usage": body.get("usage")})
