"""Prompts, answers and tool calls in the JSON form of the conventions, for those who ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from composite_llm.model.masking import masked
from composite_llm.model.messages import as_text, text_of
from composite_llm.model.trace import ToolCall

_MEDIA = {"image_url": "image", "input_audio": "audio", "file": "file"}


def input_messages(messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as `gen_ai.input.messages`; images and the like are named, not copied."""
    return as_text([{"role": str(message.get("role")), "parts": _parts(message)} for message in messages])


def output_messages(text: str, finish_reason: str | None) -> str:
    """An answer as `gen_ai.output.messages`."""
    parts = [{"type": "text", "content": text}]
    return as_text([{"role": "assistant", "parts": parts, "finish_reason": finish_reason or "unknown"}])


def tool_arguments(call: ToolCall) -> str:
    """Arguments as JSON, what looks like a key hidden; the model's own text where it was none."""
    return as_text(masked(call.arguments))


def tool_result(call: ToolCall) -> str | None:
    """What the tool gave back, or how it failed, what looks like a key hidden."""
    told = call.result if call.error is None else call.error
    return None if told is None else as_text(masked(told))


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if message.get("role") in ("tool", "function"):
        return [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": text_of(content)}]
    parts: list[dict[str, Any]] = []
    for part in [content] if isinstance(content, str) else content or ():
        kind = part.get("type") if isinstance(part, Mapping) else "text"
        if kind in _MEDIA:
            parts.append({"type": _MEDIA[kind]})
        elif text := text_of([part] if isinstance(part, Mapping) else part):
            parts.append({"type": "text", "content": text})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        arguments = function.get("arguments")
        parts.append({"type": "tool_call", "id": call.get("id"), "name": function.get("name"), "arguments": arguments})
    return parts
