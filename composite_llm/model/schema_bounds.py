"""How much work a JSON schema can make, found without checking anything against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from composite_llm.model.errors import InvalidOption

MAX_VALUES = 50_000
"""Values in one schema. OpenAI takes a tenth of that."""

MAX_EXPANSION = 5_000
"""Schemas that hold for one and the same value, once all references are followed."""

MAX_WHOLE_EXPANSION = 100_000
"""Schemas in the whole, once all references are followed that do not lead back; LiteLLM does that for some providers."""

FEW_VALUES = 3_000
"""So many take a few milliseconds."""

_SAME_VALUE = ("not", "if", "then", "else")
_SAME_VALUE_LISTS = ("allOf", "anyOf", "oneOf")
_SAME_VALUE_MAPS = ("dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_INNER = (
    "items",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
    "propertyNames",
)
_INNER_LISTS = ("prefixItems", "items")
_INNER_MAPS = ("properties", "patternProperties")


def schemas_in(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schemas of a request, each with its place."""
    for index, tool in enumerate(_list(params.get("tools"))):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        yield from _schema(f"tools.{index}.function.parameters", function, "parameters")
        yield from _schema(f"tools.{index}.input_schema", tool, "input_schema")
    for index, function in enumerate(_list(params.get("functions"))):
        yield from _schema(f"functions.{index}.parameters", function, "parameters")
    given = params.get("response_format")
    named = given.get("json_schema") if isinstance(given, Mapping) else None
    yield from _schema("response_format.json_schema.schema", named, "schema")
    yield from _schema("response_format.response_schema", given, "response_schema")


def _list(value: Any) -> list[Any] | tuple[Any, ...]:
    return value if isinstance(value, list | tuple) else ()


def _schema(key: str, holder: Any, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    schema = holder.get(name) if isinstance(holder, Mapping) else None
    if isinstance(schema, Mapping):
        yield key, schema


def has_much(params: Mapping[str, Any]) -> bool:
    """Whether the schemas of a request take longer than an event loop should be held up."""
    left = FEW_VALUES
    for _, schema in schemas_in(params):
        left -= count_values(schema, left)
        if left < 0:
            return True
    return False


def check_schemas(params: Mapping[str, Any]) -> None:
    """Refuse a request with a schema against which nothing could be checked in bounded time.

    Raises:
        InvalidOption: names the schema's place.
    """
    for key, schema in schemas_in(params):
        check_bounds(key, schema)


def check_bounds(key: str, schema: Mapping[str, Any]) -> None:
    """Refuse a schema against which nothing could be checked in bounded time.

    Args:
        key: Where it stands in the request.
        schema: Nested no deeper than a request may be.

    Raises:
        InvalidOption: It is too large, or its references multiply, or lead back to themselves.
    """
    if count_values(schema, MAX_VALUES) > MAX_VALUES:
        raise InvalidOption(key, "is too large", allowed=f"a schema of at most {MAX_VALUES} values")
    expansion = _Expansion(schema)
    try:
        for reached in expansion.reached():
            if expansion.of_one_value(reached) > MAX_EXPANSION:
                raise InvalidOption(
                    key, "its references multiply", allowed=f"at most {MAX_EXPANSION} schemas for one value"
                )
        whole = expansion.whole(schema)
    except RecursionError:
        raise InvalidOption(key, "its references form too long a chain", allowed="a schema that ends") from None
    if expansion.endless:
        raise InvalidOption(key, "a reference leads back to itself", allowed="a schema that ends")
    if whole > MAX_WHOLE_EXPANSION:
        raise InvalidOption(key, "its references multiply", allowed=f"at most {MAX_WHOLE_EXPANSION} schemas in all")


def count_values(schema: Any, most: int) -> int:
    """How many there are; of more than `most`, some number above it."""
    waiting, seen = [schema], 0
    while waiting and seen <= most:
        value = waiting.pop()
        seen += 1
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    return seen


class _Expansion:
    """A schema with its references followed.

    Attributes:
        endless: Whether a schema was found to hold for a value because it holds for it.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._anchors = dict(_anchors(root))
        self._of_one_value: dict[int, int] = {}
        self._whole: dict[int, int] = {}
        self.endless = False

    def reached(self) -> list[Mapping[str, Any]]:
        """Every schema that checking may come to."""
        schemas: dict[int, Mapping[str, Any]] = {}
        waiting: list[Any] = [self._root]
        while waiting:
            schema = waiting.pop()
            if isinstance(schema, Mapping) and id(schema) not in schemas:
                schemas[id(schema)] = schema
                waiting += [*self._same_value(schema), *_inner(schema)]
        return list(schemas.values())

    def of_one_value(self, schema: Any) -> int:
        """How many schemas hold for a value when this one does, itself included."""
        if not isinstance(schema, Mapping):
            return 1
        known = self._of_one_value.get(id(schema))
        if known is None:
            # What comes back to it while it is being counted has no end.
            self._of_one_value[id(schema)] = -1
            known = 1 + sum(map(self.of_one_value, self._same_value(schema)))
            self._of_one_value[id(schema)] = known
        elif known < 0:
            self.endless = True
            return 1
        return known

    def whole(self, schema: Any) -> int:
        """How many schemas it is when written out, but for those that lead back."""
        if not isinstance(schema, Mapping):
            return 1
        known = self._whole.get(id(schema))
        if known is None:
            self._whole[id(schema)] = 1
            known = 1 + sum(map(self.whole, (*self._same_value(schema), *_inner(schema))))
            self._whole[id(schema)] = known
        return known

    def _same_value(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        for key in _REFERENCES:
            if isinstance(schema.get(key), str):
                yield from self._referred(schema[key])
        for key in _SAME_VALUE:
            if isinstance(schema.get(key), Mapping):
                yield schema[key]
        for key in _SAME_VALUE_LISTS:
            if isinstance(schema.get(key), list):
                yield from schema[key]
        for key in _SAME_VALUE_MAPS:
            if isinstance(schema.get(key), Mapping):
                yield from schema[key].values()

    def _referred(self, reference: str) -> Iterator[Any]:
        """What a reference may lead to: a place in the schema, or a name of one; nothing for what is elsewhere."""
        base, _, fragment = reference.partition("#")
        if base:
            # Another document, or a part of this one that has a name of its own.
            yield from self._anchors.get(base, ())
            return
        if not fragment.startswith("/"):
            yield from self._anchors.get(fragment, ()) if fragment else (self._root,)
            return
        referred: Any = self._root
        for step in fragment[1:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(referred, Mapping):
                referred = referred.get(name)
            elif isinstance(referred, list) and name.isdecimal() and int(name) < len(referred):
                referred = referred[int(name)]
            else:
                return
        yield referred


def _inner(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in _INNER:
        if isinstance(schema.get(key), Mapping):
            yield schema[key]
    for key in _INNER_LISTS:
        if isinstance(schema.get(key), list):
            yield from schema[key]
    for key in _INNER_MAPS:
        if isinstance(schema.get(key), Mapping):
            yield from schema[key].values()


def _anchors(root: Any) -> dict[str, list[Any]]:
    """Names that references may use, wherever they stand."""
    named: dict[str, list[Any]] = {}
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            for key in ("$anchor", "$dynamicAnchor", "$id", "id"):
                if isinstance(value.get(key), str):
                    named.setdefault(value[key], []).append(value)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return named
