"""Checks the final model's output against what the caller asked for: `response_format`, and the tools' schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic import ValidationError as ModelError

from composite_llm.backend.interface import Choice, Message, Reply
from composite_llm.engine.schemas import first_error
from composite_llm.engine.tools import parsed_arguments, requested
from composite_llm.model.messages import text_of

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


class OutputCheck:
    """What a final reply must satisfy.

    Args:
        params: The final call's parameters.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._format = params.get("response_format")
        self._tools = {name: schema for name, schema in _tool_schemas(params) if schema}

    def problem(self, reply: Reply) -> str | None:
        """What is wrong with the reply, without quoting it; None if nothing is.

        An answer cut off by `max_tokens` or withheld is not checked: the finish reason tells the caller.
        """
        return next((problem for choice in reply.choices if (problem := self._choice_problem(choice))), None)

    def _choice_problem(self, choice: Choice) -> str | None:
        message = choice.message
        calls = requested(message)
        if calls:
            return next((problem for call in calls if (problem := self._call_problem(call))), None)
        if message.get("refusal") or choice.finish_reason in ("length", "content_filter"):
            return None
        return format_problem(text_of(message.get("content")), self._format)

    def _call_problem(self, call: Message) -> str | None:
        function = call.get("function") or {}
        name = function.get("name") or ""
        try:
            arguments = parsed_arguments(function.get("arguments"))
        except ValueError as error:
            return f"tool call {name}: {error}"
        problem = schema_problem(arguments, self._tools[name]) if name in self._tools else None
        return f"tool call {name}: {problem}" if problem else None


def format_problem(text: str, response_format: Any) -> str | None:
    """Why a text does not satisfy a `response_format`; None if it does, or if the format is not one that can be checked."""
    if isinstance(response_format, type) and issubclass(response_format, BaseModel):
        return _model_problem(text, response_format)
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind not in ("json_object", "json_schema"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "the answer is not valid JSON"
    if kind == "json_object":
        return None if isinstance(value, dict) else "the answer is not a JSON object"
    named = response_format.get("json_schema")
    schema = named.get("schema") if isinstance(named, Mapping) else None
    return schema_problem(value, schema) if isinstance(schema, Mapping) else None


def _model_problem(text: str, model: type[BaseModel]) -> str | None:
    try:
        model.model_validate_json(text)
    except ModelError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        named = [step if step in model.model_fields or isinstance(step, int) else "*" for step in first["loc"]]
        return f"{'.'.join(map(str, named)) or '$'} breaks '{first['type']}' of {model.__name__}"
    return None


def schema_problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The first place where a value breaks a JSON schema; None if it does not, or if the schema itself is broken.

    Raises:
        Unfinished: Within `in_bounds`, where it takes too long.
    """
    error = first_error(value, schema)
    return _described(error) if error is not None else None


def _described(error: ValidationError) -> str:
    """Where and which rule, never the value: the text may end in an error message."""
    rule = {
        "required": "a required property is missing" + _missing(error),
        "additionalProperties": "there is a property that is not allowed",
        "type": f"must be of type {error.validator_value}",
        "enum": "is not one of the allowed values",
    }.get(str(error.validator), f"breaks '{error.validator}'")
    return f"{_place(error)} {rule}"


def _missing(error: ValidationError) -> str:
    names = error.validator_value if isinstance(error.validator_value, list) else ()
    absent = [str(name) for name in names if isinstance(error.instance, Mapping) and name not in error.instance]
    return f": {', '.join(absent)}" if absent else ""


def _place(error: ValidationError) -> str:
    """The path to the error; a property that the schema does not name is the answer's own text, so it is not told."""
    named = set(error.absolute_schema_path)
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{step if step in named else '*'}" for step in error.absolute_path
    )
    return "$" + "".join(steps)


def _tool_schemas(params: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    functions = [tool.get("function") for tool in params.get("tools") or () if isinstance(tool, Mapping)]
    functions += list(params.get("functions") or ())
    return [
        (function.get("name") or "", function.get("parameters"))
        for function in functions
        if isinstance(function, Mapping)
    ]


def repair_note(problem: str, reply: Reply) -> list[Message]:
    """What is added to the prompt when the reply has to be written again."""
    calls = requested(reply.message)
    if calls:
        said = "\n".join(
            f"[called {(call.get('function') or {}).get('name')} with {(call.get('function') or {}).get('arguments')}]"
            for call in calls
        )
        wanted = "Make the tool call again with arguments that satisfy the tool's schema."
    else:
        said = text_of(reply.message.get("content")) or "(nothing)"
        wanted = "Write the whole answer again so that it satisfies the required format, and nothing beside it."
    return [
        {"role": "assistant", "content": said},
        {"role": "user", "content": f"[Note from the system] That was not usable: {problem}. {wanted}"},
    ]
