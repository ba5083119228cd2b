"""One piece of a stream as the SDK's chunk."""

from __future__ import annotations

from typing import Any

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import Choice, ChoiceDelta
from pydantic import BaseModel

from composite_llm.backend import compat


def chunk_of(data: Any) -> Any:
    """The SDK's own chunk of one piece of a stream, made without looking at types where there is only text to type."""
    if not isinstance(data, dict):
        return data
    choices = data.get("choices")
    if data.get("usage") is not None or not isinstance(choices, list) or not all(map(_is_text, choices)):
        return ChatCompletionChunk.construct(**data)
    made = [_untyped(Choice, {**c, "delta": _untyped(ChoiceDelta, c["delta"])}) for c in choices]
    return _untyped(ChatCompletionChunk, {**data, "choices": made})


def _is_text(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("logprobs") is not None:
        return False
    delta = choice.get("delta")
    return isinstance(delta, dict) and all(value is None or isinstance(value, str) for value in delta.values())


def _untyped(kind: type[BaseModel], values: dict[str, Any]) -> Any:
    # The SDK's own `model_construct` is the slow one; pydantic's is what it overrides.
    return _CONSTRUCT(kind, set(values), **{**_ABSENT[kind], **values})


_CONSTRUCT: Any = compat.CONSTRUCT.required().__func__

_ABSENT: dict[type[BaseModel], dict[str, Any]] = {
    kind: dict.fromkeys(kind.model_fields) for kind in (ChatCompletionChunk, Choice, ChoiceDelta)
}
