"""Which roles a prompt's messages have, and in which order: what providers and chat templates are strict about. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from composite_llm.model.messages import Message, text_of

SYSTEM_ROLES = ("system", "developer")


def with_one_system_message(messages: Sequence[Message]) -> list[Message]:
    """All that is said in the system's role as one message, the first; the order of its parts stays.

    Templates that take a system message at the beginning only refuse any other (Qwen), some refuse a second one (MiniMax).
    """
    spoken = [message for message in messages if message["role"] in SYSTEM_ROLES]
    others = [message for message in messages if message["role"] not in SYSTEM_ROLES]
    said = [message for message in spoken if message.get("content")]
    if not said:
        return others or list(messages)
    return [_joined_system(said), *others]


def _joined_system(messages: Sequence[Message]) -> Message:
    if len(messages) == 1:
        return {**messages[0], "role": "system"}
    content: Any = _marked_content(messages[0])
    for message in messages[1:]:
        content = _joined_content(content, _marked_content(message))
    return {"role": "system", "content": content}


def _marked_content(message: Message) -> Any:
    """A message's content; a cache mark on the message itself goes to its last part, where it stays when more is added."""
    content, mark = message.get("content"), message.get("cache_control")
    parts = _as_parts(content) if mark else []
    last = parts[-1] if parts else None
    return [*parts[:-1], {"cache_control": mark, **last}] if isinstance(last, Mapping) else content


def without_system_role(messages: Sequence[Message]) -> list[Message]:
    """What the system says at the head of the first user message, for templates that know no system (Gemma 2)."""
    system, others = _split(with_one_system_message(messages))
    if system is None:
        return others
    if others and others[0]["role"] == "user":
        return [_joined({**system, "role": "user"}, others[0]), *others[1:]]
    return [{"role": "user", "content": _marked_content(system)}, *others]


def with_turns(messages: Sequence[Message]) -> list[Message]:
    """Neighbouring messages of one role joined, and the user first, for templates that take only strict turns."""
    system, others = _split(with_one_system_message(messages))
    joined: list[Message] = []
    for message in others:
        if joined and _may_join(joined[-1], message):
            joined[-1] = _joined(joined[-1], message)
        else:
            joined.append(message)
    if joined and joined[0]["role"] != "user":
        joined.insert(0, {"role": "user", "content": _OPENING})
    return joined if system is None else [system, *joined]


_OPENING = "[The assistant begins this conversation.]"


def _split(messages: list[Message]) -> tuple[Message | None, list[Message]]:
    """The system message, and the rest."""
    first = messages[0] if messages else None
    return (first, messages[1:]) if first is not None and first["role"] == "system" else (None, messages)


def _may_join(left: Message, right: Message) -> bool:
    if left["role"] != right["role"]:
        return False
    # What follows a tool call is its result.
    return left["role"] == "user" or (left["role"] == "assistant" and not _acts(left))


def _acts(message: Message) -> bool:
    return bool(message.get("tool_calls") or message.get("function_call"))


def _joined(left: Message, right: Message) -> Message:
    content = _joined_content(_marked_content(left), _marked_content(right))
    rest = {key: value for key, value in {**left, **right}.items() if key != "cache_control"}
    return {**rest, "content": None if content == "" and _acts(right) else content}


def _joined_content(left: Any, right: Any) -> Any:
    if isinstance(left, list) or isinstance(right, list):
        return [*_as_parts(left), *_as_parts(right)]
    return "\n\n".join(text for text in (text_of(left), text_of(right)) if text)


def _as_parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
