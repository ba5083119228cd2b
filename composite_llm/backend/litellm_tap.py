"""A look at a provider's own chunks before LiteLLM's stream wrapper gets them, for what the wrapper loses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any


class Tap:
    """The provider's stream, put back into LiteLLM's wrapper around it.

    The wrapper drops deltas that hold nothing but a refusal, and of several choices it keeps one finish reason. It also
    asks the stream for an iterator at every chunk, for which the OpenAI SDK makes a generator, and the loop a task to
    end it: a third of what a token costs.

    Attributes:
        finish_reasons: By the choice's index, as the provider sent them.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._chunks: AsyncIterator[Any] = aiter(source)
        self.finish_reasons: dict[int, str] = {}

    @classmethod
    def on(cls, wrapper: Any) -> Tap | None:
        """Tap a stream that LiteLLM returned; None where there is nothing to tap."""
        source = getattr(wrapper, "completion_stream", None)
        if not hasattr(source, "__aiter__"):
            return None
        tap = wrapper.completion_stream = cls(source)
        return tap

    def __aiter__(self) -> Tap:
        return self

    async def __anext__(self) -> Any:
        chunk = await anext(self._chunks)
        for choice in getattr(chunk, "choices", None) or ():
            reason = getattr(choice, "finish_reason", None)
            if reason:
                self.finish_reasons[choice.index] = reason
            refusal = getattr(getattr(choice, "delta", None), "refusal", None)
            if refusal:
                # A field that the wrapper passes on, and the one in which LiteLLM's plain responses hold a refusal.
                choice.delta.provider_specific_fields = {"refusal": refusal}
        return chunk

    async def aclose(self) -> None:
        """End the connection."""
        for stream in (self._chunks, self._source):
            close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
            if close is not None:
                await close()
