"""Turns pydantic's complaints into one sentence that names the key, the value and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from composite_llm.config.node import NODE_KEYS
from composite_llm.model.errors import InvalidOption
from composite_llm.model.near_misses import near_miss

ModelT = TypeVar("ModelT", bound=BaseModel)

_SECRET_NAME = re.compile(r"key|token|secret|password|credential|authorization|headers", re.IGNORECASE)
_SHOWN_CHARACTERS = 60
_SHOWN_LEVELS = 3


def shown(key: str, value: Any, *, depth: int = 0) -> str:
    """A value as a message may show it: short, and never a secret, however deep it lies."""
    if _SECRET_NAME.search(key) and not (isinstance(value, int | float) and key.endswith("tokens")):
        return "***"
    if callable(value):
        return "a function"
    if isinstance(value, Mapping | list | tuple) and depth == _SHOWN_LEVELS:
        return "…"
    if isinstance(value, Mapping):
        # A key is the caller's text too; `repr` without its quotes has no line breaks.
        inside = (
            f"{repr(str(name))[1:-1]}: {shown(str(name), inner, depth=depth + 1)}"
            for name, inner in list(value.items())[:4]
        )
        text = "{" + ", ".join(inside) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(key, inner, depth=depth + 1) for inner in value[:4]) + "]"
    else:
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def checked(model: type[ModelT], values: Mapping[str, Any], *, path: str = "") -> ModelT:
    """The values as a `model`.

    Raises:
        InvalidOption: for the first thing wrong.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise _invalid_option(_details(error)[0], path) from None


def errors_in(model: type[BaseModel], values: Mapping[str, Any]) -> list[InvalidOption]:
    """Everything that is wrong with the values as a `model`."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        return [_invalid_option(details, "") for details in _details(error)]
    return []


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=True)


def _invalid_option(details: ErrorDetails, path: str) -> InvalidOption:
    location = [str(part) for part in details["loc"] if not str(part).startswith(("function-", "tagged-union"))]
    key = ".".join(([path] if path else []) + location)
    value = details["input"]
    if details["type"] == "missing":
        return InvalidOption(key, "is missing", allowed=f"a {location[-1]}" if location else None, value=value)
    message = details["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return InvalidOption(key, f"got {shown(key, value)}", allowed=message, value=value)


# Remembered: the same few parameters stand on every node of every call.
_near_miss_in = lru_cache(maxsize=1024)(near_miss)


def misspelt_node_keys(node: BaseModel, path: str, *, known: Iterable[str] = NODE_KEYS) -> Iterator[InvalidOption]:
    """A node's keys that are misspellings of its settings, each with the setting that was probably meant."""
    for key in node.model_extra or {}:
        meant = _near_miss_in(key, frozenset(known))
        if meant is not None and meant != key:
            yield InvalidOption(f"{path}.{key}", f"unknown key; did you mean '{meant}'?", value=key)
