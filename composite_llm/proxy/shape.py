"""Requests that no model could answer: found before LiteLLM stumbles over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from composite_llm.backend import compat
from composite_llm.config.checking import shown
from composite_llm.config.numbers import number_problem, seconds_of
from composite_llm.model.errors import InvalidOption
from composite_llm.model.sendable import check_values
from composite_llm.proxy.bridged import check_bridged

Check = Callable[[Any], bool]


def _a(*types: type) -> Check:
    return lambda value: isinstance(value, types) and not (isinstance(value, bool) and bool not in types)


def _list_of(*types: type) -> Check:
    item = _a(*types)
    return lambda value: isinstance(value, list) and all(item(element) for element in value)


def _either(*checks: Check) -> Check:
    return lambda value: any(check(value) for check in checks)


_TEXT, _MAPPING, _NUMBER, _FLAG = _a(str), _a(dict), _a(int, float), _a(bool)
_TEXTS, _MAPPINGS = _list_of(str), _list_of(dict)

_KINDS: Mapping[str, tuple[Check, str]] = {
    "stream": (_FLAG, "true or false"),
    "store": (_FLAG, "true or false"),
    "parallel_tool_calls": (_FLAG, "true or false"),
    "drop_params": (_FLAG, "true or false"),
    "logprobs": (_a(bool, int), "true or false"),
    "stop": (_either(_TEXT, _TEXTS), "a text or a list of texts"),
    "stop_sequences": (_TEXTS, "a list of texts"),
    "tools": (_MAPPINGS, "a list of tools"),
    "functions": (_MAPPINGS, "a list of functions"),
    "tool_choice": (_either(_TEXT, _MAPPING), "a word or a mapping"),
    "function_call": (_either(_TEXT, _MAPPING), "a word or a mapping"),
    "response_format": (_MAPPING, "a mapping"),
    "stream_options": (_MAPPING, "a mapping"),
    "logit_bias": (_MAPPING, "a mapping"),
    "audio": (_MAPPING, "a mapping"),
    "prediction": (_MAPPING, "a mapping"),
    "thinking": (_MAPPING, "a mapping"),
    "web_search_options": (_MAPPING, "a mapping"),
    "metadata": (_MAPPING, "a mapping"),
    "litellm_metadata": (_MAPPING, "a mapping"),
    "extra_headers": (_MAPPING, "a mapping"),
    "headers": (_MAPPING, "a mapping"),
    "router_settings_override": (_MAPPING, "a mapping"),
    "text": (_MAPPING, "a mapping"),
    "modalities": (_TEXTS, "a list of words"),
    "tags": (_TEXTS, "a list of texts"),
    "allowed_openai_params": (_TEXTS, "a list of names"),
    "additional_drop_params": (_TEXTS, "a list of names"),
    "reasoning": (_either(_TEXT, _MAPPING), "a word or a mapping"),
    "reasoning_effort": (_either(_TEXT, _MAPPING), "a word"),
    "verbosity": (_TEXT, "a word"),
    "service_tier": (_TEXT, "a word"),
    "user": (_TEXT, "a text"),
    "prompt_id": (_TEXT, "a text"),
    "prompt_cache_key": (_TEXT, "a text"),
    "safety_identifier": (_TEXT, "a text"),
    "previous_response_id": (_TEXT, "a text"),
    "instructions": (_TEXT, "a text"),
    "litellm_trace_id": (_TEXT, "a text"),
    "litellm_session_id": (_TEXT, "a text"),
    "messages": (_MAPPINGS, "a list of messages"),
    "input": (_either(_TEXT, _MAPPINGS), "a text or a list of items"),
    "system": (_either(_TEXT, _MAPPINGS), "a text or a list of parts"),
}
"""What each parameter is, where LiteLLM fails inside on anything else."""

_MAY_BE_EMPTY = frozenset({"tools", "functions", "stop", "tool_choice"})
"""Frameworks send an empty text or list for "none"."""

_INTERNAL = frozenset(
    {"proxy_server_request", "secret_fields", "litellm_logging_obj", "shared_session", "metadata", "litellm_metadata"}
)
"""Hold the proxy's own objects, a client's part of them among it."""


_WORDS = ("type", "role", "name", "id", "call_id", "tool_use_id", "tool_call_id", "text", "thinking")
"""What is a text wherever it stands in a message, an item, a part or a tool."""

_ANTHROPIC_TOOL: Mapping[str, tuple[Check, str]] = {
    "description": (_TEXT, "a text"),
    "input_schema": (_MAPPING, "a JSON schema"),
}

_ANTHROPIC_CHOICES = ("auto", "any", "tool", "none")

_CHATS = frozenset({"completion", "text_completion", "responses", "anthropic_messages"})
"""LiteLLM's names of what it makes a chat of."""


def check_chat(call_type: Any) -> None:
    """Refuse what LiteLLM has no call for with a custom provider, and says so with a 500 and a traceback.

    Args:
        call_type: LiteLLM's name of the call, or its entry of that name.

    Raises:
        InvalidOption: It is no chat.
    """
    call = _name_of(call_type)
    if call and call not in _CHATS:
        raise InvalidOption("model", f"a composite has no {call}", allowed="chats")


def _name_of(call_type: Any) -> str:
    call = str(getattr(call_type, "value", call_type) or "")
    return call.removeprefix("a") if call.removeprefix("a") in _CHATS else call


def check_shape(request: Mapping[str, Any], call_type: Any) -> None:
    """Refuse what is of the wrong kind, too deep, or a number that is none.

    Args:
        request: A request's body, or a call's keywords.
        call_type: LiteLLM's name of the call, or its entry of that name.

    Raises:
        InvalidOption: names the first.
    """
    for key, value in request.items():
        if value is None or key.startswith("_"):
            continue
        _check_kind(key, value)
        if key in ("timeout", "request_timeout", "stream_timeout"):
            seconds_of(value)
        if (problem := number_problem(key, value)) is not None:
            raise problem
    check_values({key: value for key, value in request.items() if key not in _INTERNAL})
    _check_items(request)
    call = _name_of(call_type)
    if call == "anthropic_messages":
        _check_as_anthropics(request)
        _check_anthropics_tools(request)
        check_bridged(request, call)
    elif call == "responses":
        check_bridged(request, call)
    elif call == "completion":
        _check_parts(_listed(request.get("messages")))


def _check_items(request: Mapping[str, Any]) -> None:
    for name in ("messages", "input"):
        for index, message in enumerate(_listed(request.get(name))):
            _check_words(f"{name}.{index}", message)
            _check_message(f"{name}.{index}", message)
    for index, tool in enumerate(_listed(request.get("tools"))):
        _check_words(f"tools.{index}", tool)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _check_kind(key: str, value: Any) -> None:
    fits, allowed = _KINDS.get(key, (None, ""))
    if fits is None or fits(value) or (key in _MAY_BE_EMPTY and not value and value is not False):
        return
    raise InvalidOption(key, f"got {shown(key, value)}", allowed=allowed, value=value)


def _check_words(path: str, holder: Mapping[str, Any]) -> None:
    for key in _WORDS:
        value = holder.get(key)
        if value is not None and not isinstance(value, str):
            raise InvalidOption(f"{path}.{key}", f"got {shown(key, value)}", allowed="a text", value=value)


def _check_message(path: str, message: Mapping[str, Any]) -> None:
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            if not isinstance(part, dict):
                raise InvalidOption(f"{path}.content.{index}", f"got {shown('part', part)}", allowed="a mapping")
            _check_words(f"{path}.content.{index}", part)
    elif content is not None and not isinstance(content, str):
        raise InvalidOption(f"{path}.content", f"got {shown('part', content)}", allowed="a text or a list of parts")
    calls = message.get("tool_calls")
    if calls is not None and not _MAPPINGS(calls):
        raise InvalidOption(f"{path}.tool_calls", f"got {shown('calls', calls)}", allowed="a list of calls")


def _check_parts(messages: list[Any]) -> None:
    """The parts that LiteLLM lets into a user's message; it answers any other with a 500."""
    allowed = _part_types()
    for index, message in enumerate(messages):
        if message.get("role") == "user":
            for part_index, part in enumerate(_listed(message.get("content"))):
                if allowed and part.get("type") not in allowed:
                    path = f"messages.{index}.content.{part_index}.type"
                    raise InvalidOption(path, f"got {shown('type', part.get('type'))}", allowed=", ".join(allowed))


@lru_cache(maxsize=1)
def _part_types() -> tuple[str, ...]:
    return tuple(compat.PART_TYPES.get() or ())


def _check_as_anthropics(request: Mapping[str, Any]) -> None:
    """What LiteLLM reads of a request of the Messages API without looking whether it is there."""
    messages = request.get("messages")
    if not messages:
        raise InvalidOption("messages", "is missing or empty", allowed="a list of messages")
    for index, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            raise InvalidOption(f"messages.{index}.role", "is missing or no text", allowed="user or assistant")
        for part_index, part in enumerate(_listed(message.get("content"))):
            if part.get("type") == "text" and not isinstance(part.get("text"), str):
                raise InvalidOption(
                    f"messages.{index}.content.{part_index}.text", "is missing or no text", allowed="text"
                )
        if _only_thoughts(message):
            # LiteLLM takes them out of a user's message, the message with them.
            raise InvalidOption(f"messages.{index}.content", "has thoughts alone", allowed="what a user can say")


def _check_anthropics_tools(request: Mapping[str, Any]) -> None:
    for index, tool in enumerate(_listed(request.get("tools"))):
        for name, (fits, allowed) in _ANTHROPIC_TOOL.items():
            if tool.get(name) is not None and not fits(tool[name]):
                raise InvalidOption(f"tools.{index}.{name}", f"got {shown(name, tool[name])}", allowed=allowed)
    choice = request.get("tool_choice")
    if choice is None:
        return
    if not isinstance(choice, dict) or choice.get("type") not in _ANTHROPIC_CHOICES:
        allowed = f"a mapping whose 'type' is one of {', '.join(_ANTHROPIC_CHOICES)}"
        raise InvalidOption("tool_choice", f"got {shown('choice', choice)}", allowed=allowed)
    if choice["type"] == "tool" and not isinstance(choice.get("name"), str):
        raise InvalidOption("tool_choice.name", "is missing or no text", allowed="the name of a tool")


def _only_thoughts(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return (
        message["role"] == "user"
        and isinstance(content, list)
        and bool(content)
        and all(part.get("type") in ("thinking", "redacted_thinking") for part in content)
    )
