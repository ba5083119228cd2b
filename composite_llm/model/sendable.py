"""What no provider can be sent, found before anything is: a clear 400 in the place of calls that fail on the way out.

Only what is malformed is refused. Parts, tools and formats of a type that is not known here are some provider's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from composite_llm.model.errors import InvalidOption
from composite_llm.model.schema_bounds import check_schemas, has_much

MAX_DEPTH = 100
"""How deep JSON in a request may be nested. Ten is much; some hundred end Python's own stack, here or in LiteLLM."""

MAX_VALUES = 200_000
"""How many values it may hold: who looks at each of them holds up everybody else meanwhile."""

_SHOWN_STEPS = 4
_PLAIN = (str, int, bool, type(None))
_NO_JSON = (set, frozenset, bytes, bytearray, complex)


def check_sendable(messages: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> None:
    """Everything that every provider's form needs of a request; schemas that take long to look at are left out.

    Args:
        messages: The cleaned messages.
        params: The call's parameters, and options beside them.

    Raises:
        InvalidOption: names message and part, or the parameter.
    """
    for index, message in enumerate(messages):
        _check_message(f"messages.{index}", message)
    _check_tools(params)
    _check_format(params.get("response_format"))
    if not has_much(params):
        check_schemas(params)


# --- numbers, depth and size ---------------------------------------------------------------------------------------


def check_values(values: Mapping[str, Any]) -> None:
    """Depth, size and numbers of a request as it came, before anything walks through it.

    Args:
        values: Messages and parameters by name. Objects that are no JSON are other people's business.

    Raises:
        InvalidOption: names the place.
    """
    waiting: list[tuple[int, tuple[Any, ...], Any]] = [(1, (key,), value) for key, value in values.items()]
    seen = 0
    while waiting:
        depth, path, value = waiting.pop()
        if isinstance(value, _PLAIN):
            continue
        if isinstance(value, float):
            if not math.isfinite(value):
                raise InvalidOption(_shown(path), f"got {value:g}", allowed="a finite number", value=value)
            continue
        if isinstance(value, Mapping):
            inside: Iterable[tuple[Any, Any]] = value.items()
        elif isinstance(value, list | tuple):
            inside = enumerate(value)
        elif isinstance(value, _NO_JSON) and path[0] in _SENT:
            raise InvalidOption(_shown(path), f"is a {type(value).__name__}", allowed="JSON")
        else:
            continue
        seen += len(value)
        if depth > MAX_DEPTH:
            raise InvalidOption(_shown(path), "is nested too deep", allowed=f"JSON of at most {MAX_DEPTH} levels")
        if seen > MAX_VALUES:
            raise InvalidOption(_shown(path[:1]), "holds too much", allowed=f"JSON of at most {MAX_VALUES} values")
        deep = len(path) > _SHOWN_STEPS
        waiting += [(depth + 1, path if deep else (*path, step), inner) for step, inner in inside]


_SENT = frozenset({"messages", "tools", "functions", "response_format"})
"""What is JSON and nothing else; other parameters may be objects of the client libraries."""


def _shown(path: Sequence[Any]) -> str:
    """Where in the request, without the caller's own texts."""
    steps = [str(step) if isinstance(step, int) or _is_name(step) else "*" for step in path[:_SHOWN_STEPS]]
    return ".".join(steps) + (".…" if len(path) > _SHOWN_STEPS else "")


def _is_name(step: Any) -> bool:
    return isinstance(step, str) and len(step) <= 40 and step.replace("-", "_").isidentifier()


# --- messages ------------------------------------------------------------------------------------------------------


def _check_message(path: str, message: Mapping[str, Any]) -> None:
    content = message.get("content")
    if isinstance(content, bool | int | float | bytes):
        raise InvalidOption(f"{path}.content", f"is a {type(content).__name__}", allowed="text, or a list of parts")
    if isinstance(content, list | tuple):
        for index, part in enumerate(content):
            _check_part(f"{path}.content.{index}", part, message["role"])
    for index, call in enumerate(message.get("tool_calls") or ()):
        if "custom" not in call and call.get("type") in (None, "function"):
            _check_called(f"{path}.tool_calls.{index}.function", call.get("function"))
    if message.get("function_call") is not None:
        _check_called(f"{path}.function_call", message["function_call"])


def _check_part(path: str, part: Any, role: str) -> None:
    if not isinstance(part, Mapping):
        if part is None or isinstance(part, str | int | float | list | tuple):
            raise InvalidOption(path, f"is a {type(part).__name__}", allowed="a mapping with 'type'")
        return
    kind = part.get("type")
    if kind is None and role != "user":
        return
    if not isinstance(kind, str) or not kind:
        raise InvalidOption(f"{path}.type", "is missing" if kind is None else "is not a name", allowed="a part's type")
    check = _PARTS.get(kind)
    problem = check(part.get(kind)) if check is not None else None
    if problem is not None:
        raise InvalidOption(
            f"{path}.{kind}", "is missing" if part.get(kind) is None else "is malformed", allowed=problem
        )


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "text"


def _address(value: Any) -> str | None:
    url = value.get("url") if isinstance(value, Mapping) else value
    return None if isinstance(url, str) and url else "a URL, or a mapping with 'url'"


def _sound(value: Any) -> str | None:
    fine = isinstance(value, Mapping) and isinstance(value.get("data"), str) and value["data"]
    return None if fine else "a mapping with 'data' and 'format'"


def _file(value: Any) -> str | None:
    fine = isinstance(value, Mapping) and any(isinstance(inner, str) and inner for inner in value.values())
    return None if fine else "a mapping with 'file_id' or 'file_data'"


_PARTS: dict[str, Callable[[Any], str | None]] = {
    "text": _text,
    "refusal": _text,
    "image_url": _address,
    "video_url": _address,
    "audio_url": _address,
    "input_audio": _sound,
    "file": _file,
}
"""What a part of each type has under its own name: OpenAI's types, and LiteLLM's of the same form."""


def _check_called(path: str, function: Any) -> None:
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidOption(path, "is not a call", allowed="a mapping with 'name' and 'arguments'")
    if not isinstance(function.get("arguments"), str | Mapping):
        raise InvalidOption(f"{path}.arguments", "is not text", allowed="a JSON object as text")


# --- tools and formats ---------------------------------------------------------------------------------------------


def _check_tools(params: Mapping[str, Any]) -> None:
    for index, tool in enumerate(_listed("tools", params.get("tools"))):
        path = f"tools.{index}"
        if isinstance(tool, Mapping):
            named = "function" in tool or tool.get("type") == "function"
            if not tool:
                raise InvalidOption(path, "is empty", allowed="a tool")
            if named:
                _check_function(f"{path}.function", tool.get("function"))
        elif tool is None or callable(tool) or isinstance(tool, str | int | float | list | tuple):
            raise InvalidOption(path, f"is a {type(tool).__name__}", allowed="a mapping with 'type' and 'function'")
    for index, function in enumerate(_listed("functions", params.get("functions"))):
        _check_function(f"functions.{index}", function)


def _listed(key: str, value: Any) -> Iterable[Any]:
    if value is not None and not isinstance(value, list | tuple):
        raise InvalidOption(key, f"is a {type(value).__name__}", allowed="a list")
    return value or ()


def _check_function(path: str, function: Any) -> None:
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise InvalidOption(path, "is not a function", allowed="a mapping with 'name'")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InvalidOption(f"{path}.parameters", f"is a {type(parameters).__name__}", allowed="a JSON schema")


def _check_format(given: Any) -> None:
    if given is None or isinstance(given, type):
        return
    if not isinstance(given, Mapping) or not isinstance(given.get("type"), str):
        raise InvalidOption("response_format", "is not a format", allowed="a mapping with 'type', or a pydantic model")
    if given["type"] != "json_schema":
        return
    named = given.get("json_schema")
    if not isinstance(named, Mapping):
        raise InvalidOption(
            "response_format.json_schema",
            "is missing" if named is None else f"is a {type(named).__name__}",
            allowed="a mapping with 'name' and 'schema'",
        )
    schema = named.get("schema")
    if schema is not None and not isinstance(schema, Mapping):
        raise InvalidOption(
            "response_format.json_schema.schema", f"is a {type(schema).__name__}", allowed="a JSON schema"
        )
