"""Puts a streamed answer together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from composite_llm.backend.interface import Choice, ChoiceDelta, Chunk, Message, Reply
from composite_llm.model.usage import NO_USAGE, Usage

_JOINED = ("content", "reasoning_content", "refusal")
_APPENDED = ("annotations", "images", "reasoning_items")


class StreamAssembler:
    """Adds up chunks, in any split, to the reply they are parts of.

    Attributes:
        begun: Whether anything has come, be it only that the provider has accepted the request.
    """

    def __init__(self, model: str | None = None) -> None:
        self._model = model
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._cost_usd: float | None = None
        self._extra: dict[str, Any] = {}
        self._nested = False
        self.begun = False

    def add(self, chunk: Chunk) -> None:
        """Take one chunk in."""
        self.begun = True
        self._nested = self._nested or chunk.nested
        for delta in chunk.choices:
            if delta.index not in self._choices:
                self._choices[delta.index] = _Choice()
            self._choices[delta.index].add(delta)
        if chunk.usage is not None:
            self._usage = chunk.usage
            self._cost_usd = chunk.cost_usd
        if chunk.extra:
            self._extra.update(chunk.extra)

    @property
    def received_chars(self) -> int:
        """Characters of answer text, refusals and tool calls until now, over all choices."""
        return sum(choice.received_chars for choice in self._choices.values())

    @property
    def answer_started(self) -> bool:
        """Whether something of the answer itself, not just of its reasoning, has come."""
        return any(choice.answer_started for choice in self._choices.values())

    def reply(self) -> Reply:
        """What has come until now, as one reply."""
        choices = self._choices or {0: _Choice()}
        return Reply(
            choices=tuple(choices[index].choice(index) for index in sorted(choices)),
            usage=self._usage or NO_USAGE,
            cost_usd=self._cost_usd,
            model=self._model,
            extra=self._extra,
            usage_reported=self._usage is not None,
            nested=self._nested,
        )


class _Choice:
    def __init__(self) -> None:
        self._parts: dict[str, list[str]] = {}
        self._tool_calls: dict[int, Message] = {}
        self._function_call: Message | None = None
        self._other: Message = {}
        self._logprobs: dict[str, list[Any]] = {}
        self.finish_reason: str | None = None

    def add(self, delta: ChoiceDelta) -> None:
        for key, value in delta.delta.items():
            if value is not None and key != "role":
                self._add_field(key, value)
        if delta.finish_reason:
            self.finish_reason = delta.finish_reason
        if isinstance(delta.logprobs, Mapping):
            for key, tokens in delta.logprobs.items():
                if isinstance(tokens, list):
                    self._logprobs.setdefault(key, []).extend(tokens)

    def _add_field(self, key: str, value: Any) -> None:
        if key in _JOINED:
            self._parts.setdefault(key, []).append(value)
        elif key == "tool_calls":
            for call in value:
                _add_tool_call(self._tool_calls, call)
        elif key == "function_call":
            self._function_call = _joined_function(self._function_call or {}, value)
        elif key == "thinking_blocks" and isinstance(value, list):
            for block in value:
                _add_block(self._other.setdefault(key, []), block)
        elif key == "reasoning_details" and isinstance(value, list):
            for detail in value:
                _add_detail(self._other.setdefault(key, []), detail)
        elif key in _APPENDED and isinstance(value, list):
            self._other.setdefault(key, []).extend(value)
        else:
            self._other[key] = _merged(self._other.get(key), value)

    @property
    def received_chars(self) -> int:
        functions = [call["function"] for call in self._tool_calls.values()] + [self._function_call or {}]
        asked = sum(len(function.get(key) or "") for function in functions for key in ("name", "arguments"))
        return sum(len(part) for key in ("content", "refusal") for part in self._parts.get(key, ())) + asked

    @property
    def answer_started(self) -> bool:
        spoken = any(self._parts.get("content", ())) or any(self._parts.get("refusal", ()))
        return bool(spoken or self._tool_calls or self._function_call or self._other.get("audio"))

    def choice(self, index: int) -> Choice:
        message: Message = {"role": "assistant", "content": None, **self._other}
        for key, parts in self._parts.items():
            message[key] = "".join(parts)
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[place] for place in sorted(self._tool_calls)]
        if self._function_call is not None:
            message["function_call"] = self._function_call
        return Choice(index, message, self.finish_reason, self._logprobs or None)


def _add_block(blocks: list[Any], piece: Any) -> None:
    """A piece of a thinking block continues the last one until that has its signature."""
    last: Any = blocks[-1] if blocks else None
    if not (_is_thinking(piece) and _is_thinking(last)) or last.get("signature"):
        blocks.append(dict(piece) if isinstance(piece, Mapping) else piece)
        return
    last["thinking"] = (last.get("thinking") or "") + (piece.get("thinking") or "")
    if piece.get("signature"):
        last["signature"] = piece["signature"]


def _is_thinking(block: Any) -> bool:
    return isinstance(block, Mapping) and block.get("type") == "thinking"


def _add_detail(details: list[Any], piece: Any) -> None:
    """OpenRouter's `reasoning_details`: pieces of one detail share its index and type, and their texts join."""
    last = details[-1] if details else None
    if not isinstance(piece, Mapping) or not isinstance(last, dict) or not _continues(piece, last):
        details.append(dict(piece) if isinstance(piece, Mapping) else piece)
        return
    for key, value in piece.items():
        joins = key in ("text", "summary", "data") and isinstance(last.get(key), str) and isinstance(value, str)
        if value is not None:
            last[key] = last[key] + value if joins else value


def _continues(piece: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    if any(piece.get(key) != last.get(key) for key in ("index", "type")) or piece.get("id") not in (
        None,
        last.get("id"),
    ):
        return False
    return piece.get("index") is not None or piece.get("type") != "reasoning.encrypted"


def _add_tool_call(calls: dict[int, Message], delta: Mapping[str, Any]) -> None:
    index = delta.get("index")
    if index is None:
        # Some servers leave the index out and send each call whole, or continue the last one without an id.
        last = max(calls, default=-1)
        continues = last in calls and delta.get("id") in (None, "", calls[last]["id"])
        index = last if continues else last + 1
    call = calls.setdefault(index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
    if delta.get("id"):
        call["id"] = delta["id"]
    if delta.get("type"):
        call["type"] = delta["type"]
    call["function"] = _joined_function(call["function"], delta.get("function") or {})
    for key, value in delta.items():
        if key not in ("index", "id", "type", "function") and value is not None:
            call[key] = value


def _joined_function(function: Mapping[str, Any], delta: Mapping[str, Any]) -> Message:
    further = {**function, **{key: value for key, value in delta.items() if value is not None}}
    return {
        **further,
        "name": function.get("name") or delta.get("name") or "",
        "arguments": (function.get("arguments") or "") + (delta.get("arguments") or ""),
    }


def _merged(old: Any, new: Any) -> Any:
    """Later parts of a field that is no text: mappings merge (text in them joins), anything else is replaced."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if isinstance(before, list) and isinstance(value, list):
            merged[key] = [*before, *value]
            continue
        joins = key in ("data", "transcript") and isinstance(before, str) and isinstance(value, str)
        merged[key] = before + value if joins and isinstance(before, str) else value
    return merged
