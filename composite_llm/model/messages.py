"""Conversations: checking, cleaning, and how each kind of call sees them. Pure; the caller's messages are never changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from composite_llm.model.errors import InvalidOption
from composite_llm.model.wellformed import well_formed, well_formed_json, well_formed_value

Message = dict[str, Any]


class ModelTurn(Message):
    """An assistant message that calls tools: to everybody what it holds, to the model that said it a little more.

    Copies made of its items are plain messages, so that what belongs to one model is lost rather than shown to another.

    Attributes:
        echo: The message as the caller sent it back, or as the model said it.
        own: The model's own part of it, an `ToolTurn`; None where it was not found.
    """

    __slots__ = ("echo", "own")

    def __init__(self, message: Message, echo: Mapping[str, Any], own: Any = None) -> None:
        super().__init__(message)
        self.echo = echo
        self.own = own


ROLES = ("system", "developer", "user", "assistant", "tool", "function")

# What a provider may be sent of a message, by an allow-list: frameworks and earlier composites leave much else in it
# (`reasoning_content`, `thinking_blocks`, `provider_specific_fields`, `cache_breakpoint`, a tool call's `index`).
_MESSAGE_KEYS = frozenset(
    {
        "role",
        "content",
        "name",
        "tool_calls",
        "tool_call_id",
        "function_call",
        "refusal",
        "audio",
        "cache_control",
        "prefix",
    }
)
_TOOL_CALL_KEYS = frozenset({"id", "type", "function", "custom", "cache_control"})
_DROPPED_PARTS = frozenset({"thinking", "redacted_thinking", "reasoning"})

TOOL_TEXT_LIMIT = 4000
"""Characters of a tool's result that advisors are shown, head and tail."""


def checked_messages(messages: Any) -> list[Message]:
    """The caller's messages as plain dictionaries, cleaned, on a copy that shares the contents.

    Raises:
        InvalidOption: They are no list, empty, or one of them is no message.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        raise InvalidOption("messages", f"is a {type(messages).__name__}", allowed="a non-empty list of messages")
    if not messages:
        raise InvalidOption("messages", "is empty", allowed="a non-empty list of messages")
    return [_cleaned(index, message) for index, message in enumerate(messages)]


def _cleaned(index: int, message: Any) -> Message:
    if not isinstance(message, Mapping):
        dump = getattr(message, "model_dump", None)
        if dump is None:
            raise InvalidOption(f"messages.{index}", f"is a {type(message).__name__}", allowed="a mapping with 'role'")
        message = dump(exclude_none=True)
    role = _plain_role(message.get("role"))
    if role not in ROLES:
        raise InvalidOption(f"messages.{index}.role", f"got {role!r}"[:80], allowed=", ".join(ROLES), value=role)
    cleaned = {
        key: well_formed_value(value) for key, value in message.items() if key in _MESSAGE_KEYS and value is not None
    }
    cleaned["role"] = role
    if not cleaned.get("name"):
        cleaned.pop("name", None)
    content = cleaned.get("content")
    if isinstance(content, list):
        parts = [part for part in content if not _is_thinking(part)]
        if parts:
            cleaned["content"] = parts
        else:
            # No provider takes an empty list.
            del cleaned["content"]
    calls = cleaned.get("tool_calls")
    if calls:
        if not isinstance(calls, Sequence) or isinstance(calls, str):
            raise InvalidOption(f"messages.{index}.tool_calls", f"is a {type(calls).__name__}", allowed="a list")
        cleaned["tool_calls"] = [_cleaned_tool_call(call) for call in calls]
    else:
        cleaned.pop("tool_calls", None)
    if "content" not in cleaned:
        cleaned["content"] = (
            None if role == "assistant" and ("tool_calls" in cleaned or "function_call" in cleaned) else ""
        )
    return ModelTurn(cleaned, message) if role == "assistant" and "tool_calls" in cleaned else cleaned


def _plain_role(role: Any) -> Any:
    # smolagents' roles are str enums.
    return getattr(role, "value", role)


def _is_thinking(part: Any) -> bool:
    return isinstance(part, Mapping) and str(part.get("type")) in _DROPPED_PARTS


def _cleaned_tool_call(call: Any) -> Message:
    if not isinstance(call, Mapping):
        dump = getattr(call, "model_dump", None)
        call = dump(exclude_none=True) if dump is not None else {}
    cleaned = {key: value for key, value in call.items() if key in _TOOL_CALL_KEYS and value is not None}
    function = cleaned.get("function")
    if isinstance(function, Mapping):
        cleaned["function"] = {
            "name": function.get("name") or "",
            "arguments": function.get("arguments") if function.get("arguments") is not None else "{}",
        }
    return with_well_formed_arguments(cleaned)


def with_well_formed_arguments(call: Message) -> Message:
    """A tool call whose arguments hold no half of a surrogate pair, nor the escape of one; itself where they do not."""
    function = call.get("function")
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(arguments, str):
        return call
    mended = well_formed_json(arguments)
    return call if mended == arguments else {**call, "function": {**function, "arguments": mended}}


def text_of(content: Any) -> str:
    """The text of a message's content; a short note in the place of what is no text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, Iterable):
        return str(content)
    return "\n".join(text for text in (_part_text(part) for part in content) if text)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return ""
    if isinstance(part.get("text"), str):
        return str(part["text"])
    return f"[{modality(part) or part.get('type', 'attachment')}]"


_MODALITIES = {
    "image_url": "image",
    "image": "image",
    "input_image": "image",
    "input_audio": "audio",
    "audio": "audio",
    "audio_url": "audio",
    "file": "file",
    "input_file": "file",
    "document": "file",
    "video_url": "video",
    "video": "video",
    "input_video": "video",
}


def modality(part: Any) -> str | None:
    """`image`, `audio`, `file` or `video` for a content part that is one, else None."""
    return _MODALITIES.get(str(part.get("type"))) if isinstance(part, Mapping) else None


def modalities_in(messages: Sequence[Message]) -> set[str]:
    """What the messages hold besides text."""
    modalities: set[str] = set()
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            modalities.update(kind for kind in map(modality, content) if kind)
    return modalities


def points_elsewhere(messages: Sequence[Message]) -> bool:
    """Whether a part names a server that its content would have to be fetched from."""
    return any(
        _is_elsewhere(part)
        for message in messages
        if isinstance(parts := message.get("content"), list)
        for part in parts
        if isinstance(part, Mapping)
    )


def _is_elsewhere(part: Mapping[str, Any]) -> bool:
    inside = [inner for value in part.values() if isinstance(value, Mapping) for inner in value.values()]
    return any(
        isinstance(place, str) and place.startswith(("http://", "https://")) for place in (*part.values(), *inside)
    )


def last_user_index(messages: Sequence[Message]) -> int | None:
    """Where the last user message stands."""
    return next((index for index in range(len(messages) - 1, -1, -1) if messages[index]["role"] == "user"), None)


def present_question(messages: Sequence[Message]) -> Sequence[Message]:
    """The user's last messages, as far as they follow each other; none where they only bring an agent what its tool saw."""
    end = last_user_index(messages)
    if end is None:
        return ()
    start = end
    while start and messages[start - 1]["role"] == "user":
        start -= 1
    from_a_tool = start > 0 and messages[start - 1]["role"] in ("tool", "function")
    return () if from_a_tool else messages[start : end + 1]


def insert_after_last_user(messages: Sequence[Message], extra: Message) -> list[Message]:
    """`extra` as a message of its own right after the last user message.

    The place does not move while tool steps are added behind it, so the prompt's prefix stays the same to the byte.
    """
    index = last_user_index(messages)
    place = len(messages) if index is None else index + 1
    return [*messages[:place], extra, *messages[place:]]


def with_system_block(messages: Sequence[Message], block: str) -> list[Message]:
    """`block` appended to the first message if that is a system prompt, after a blank line; else put first."""
    if not messages or messages[0]["role"] not in ("system", "developer"):
        return [{"role": "system", "content": block}, *messages]
    first = messages[0]
    content = first.get("content")
    if isinstance(content, list):
        joined: Any = [*content, {"type": "text", "text": block}]
    else:
        joined = f"{content}\n\n{block}" if content else block
    return [{**first, "content": joined}, *messages[1:]]


def with_persona(messages: Sequence[Message], persona: str | None) -> list[Message]:
    """The messages with an extra system prompt after the caller's own ones."""
    if not persona:
        return list(messages)
    place = next(
        (index for index, message in enumerate(messages) if message["role"] not in ("system", "developer")),
        len(messages),
    )
    return [*messages[:place], {"role": "system", "content": persona}, *messages[place:]]


def shortened(text: str, limit: int) -> str:
    """Head and tail of a text that is too long, with a mark of how much was left out."""
    if len(text) <= limit:
        return text
    # The mark's own place is left out too; its number never has more digits than the text's length.
    keep = max(limit - len(f"\n[… {len(text)} characters left out …]\n"), 0)
    tail = keep // 3
    head = keep - tail
    mark = f"\n[… {len(text) - head - tail} characters left out …]\n"
    return text[:head] + mark + text[len(text) - tail :]


_ADVISOR_NOTE = (
    "You are advising the assistant that will answer this conversation. You cannot call tools and have not called any; "
    "what you see of tool calls and their results are records of the assistant's own. Do not claim to have done "
    "anything and do not write tool calls: say what the assistant should answer or do next, and why. "
    "Write in the language of the user's message."
)


def advisor_view(messages: Sequence[Message], tools: Sequence[Any] | None) -> list[Message]:
    """The conversation as proposers, members and reviewers see it: no tool machinery, ending on a user turn.

    Without tools and tool history it is the caller's own messages.
    """
    acting = bool(tools) or any(_has_tool_machinery(message) for message in messages)
    view = [as_plain_text(message, TOOL_TEXT_LIMIT) for message in messages] if acting else list(messages)
    if acting:
        view = with_persona(view, _ADVISOR_NOTE + _tool_list(tools))
    if view[-1]["role"] != "user":
        view.append({"role": "user", "content": "Continue from here: what should the assistant's next answer be?"})
    return view


def running_turn(messages: Sequence[Message]) -> int:
    """Where the running user turn starts: behind the last user message that does not come with a tool's results.

    Agents put notes beside the results, and a composite puts its members' answers there.
    """
    spoken = -1
    behind_result = False
    for place, message in enumerate(messages):
        if message["role"] == "user" and not behind_result:
            spoken = place
        elif message["role"] != "user":
            behind_result = message["role"] in ("tool", "function")
    return spoken + 1


def _has_tool_machinery(message: Message) -> bool:
    return message["role"] in ("tool", "function") or "tool_calls" in message or "function_call" in message


def as_plain_text(message: Message, limit: int | None = None) -> Message:
    """A tool call, or a tool's result of at most so many characters, as text; any other message as it is."""
    if message["role"] in ("tool", "function"):
        # LiteLLM puts Gemini's thought signature into an id, behind this mark.
        name = message.get("name") or str(message.get("tool_call_id") or "tool").partition("__thought__")[0]
        content: Any = message.get("content")
        # What is no text stays a part: who can take it is shown it, the others read a note.
        parts = [part for part in content if modality(part)] if isinstance(content, list) else []
        result = text_of([part for part in content if not modality(part)] if parts else content)
        said = f"[result of {name}]\n{result if limit is None else shortened(result, limit)}"
        return {"role": "user", "content": [{"type": "text", "text": said}, *parts] if parts else said}
    if "tool_calls" not in message and "function_call" not in message:
        return message
    asked = [call.get("function") for call in message.get("tool_calls", ())] + [message.get("function_call")]
    calls = [function for function in asked if isinstance(function, Mapping)]
    lines = [f"[called {call.get('name', 'tool')} with {call.get('arguments') or '{}'}]" for call in calls]
    spoken = text_of(message.get("content"))
    return {"role": "assistant", "content": "\n".join(([spoken] if spoken else []) + lines)}


def _tool_list(tools: Sequence[Any] | None) -> str:
    described = []
    for tool in tools or ():
        function = tool.get("function", tool) if isinstance(tool, Mapping) else {}
        name = function.get("name") if isinstance(function, Mapping) else None
        if name:
            description = str(function.get("description") or "").strip().split("\n")[0][:200]
            described.append(f"- {name}" + (f": {description}" if description else ""))
    return "\n\nThe assistant's tools:\n" + "\n".join(described) if described else ""


def without_modalities(messages: Sequence[Message], unwanted: set[str]) -> list[Message]:
    """The messages with a short text note in the place of each part a model cannot take."""
    return [_noted(message, unwanted) for message in messages] if unwanted else list(messages)


def _noted(message: Message, unwanted: set[str]) -> Message:
    content = message.get("content")
    if not isinstance(content, list) or not any(modality(part) in unwanted for part in content):
        return message
    parts = [
        {"type": "text", "text": f"[{modality(part)} not shown to you]"} if modality(part) in unwanted else part
        for part in content
    ]
    if message["role"] in ("tool", "function"):
        # Some servers take nothing but a string there.
        return {**message, "content": text_of(parts)}
    return {**message, "content": parts}


def as_text(value: Any) -> str:
    """A tool's result as the model reads it: text as it is, anything else as JSON."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", errors="replace")
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=_json_fallback)
        except (TypeError, ValueError, RecursionError):
            text = repr(value)
    # Half a surrogate pair, as in the name of a file, cannot be sent to any provider.
    return well_formed(text)


def _json_fallback(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", errors="replace")
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)
