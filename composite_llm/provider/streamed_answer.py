"""One streamed answer through LiteLLM, for the command: text as it comes, then why it ended."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import litellm

from composite_llm.model.errors import CompositeError


class Answer:
    """One question to a composite.

    Args:
        model: A composite model string.
        messages: The conversation.
        options: Options and call parameters.

    Attributes:
        finish_reason: Set when all text has come.
        reasoning: What came as `reasoning_content`.
    """

    def __init__(self, model: str, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> None:
        self._model = model
        self._messages = [dict(message) for message in messages]
        self._options = dict(options)
        self.finish_reason: str | None = None
        self.reasoning = ""

    async def text(self) -> AsyncGenerator[str, None]:
        """The answer, piece by piece; closing or cancelling it ends the run.

        Raises:
            CompositeError: The run gave no answer, or no whole one.
        """
        try:
            stream: Any = await litellm.acompletion(
                model=self._model, messages=self._messages, stream=True, **self._options
            )
            async with contextlib.aclosing(stream):
                async for chunk in stream:
                    for choice in chunk.choices[:1]:
                        self.finish_reason = choice.finish_reason or self.finish_reason
                        self.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                        if choice.delta.content:
                            yield choice.delta.content
        except Exception as error:  # noqa: BLE001  # LiteLLM raises many kinds; each becomes one of ours
            raise our_error(error) from None


def our_error(error: Exception) -> CompositeError:
    """Our error inside what LiteLLM made of it: a stream's comes wrapped."""
    if isinstance(error, CompositeError):
        return error
    inside = getattr(error, "original_exception", None)
    if isinstance(inside, CompositeError):
        return inside
    # LiteLLM's own refusal of the call; its text may hold what the upstream said.
    found = CompositeError(f"{type(error).__name__} before the run began")
    found.status_code = int(getattr(error, "status_code", None) or 500)
    return found
