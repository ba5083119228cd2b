"""Small readers that the formats share."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from fake_server.errors import RequestError
from fake_server.wire_json import json_text


def as_object(value: object) -> dict[str, Any]:
    """Return a value that is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; of anything else none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def whole(body: Mapping[str, Any], name: str) -> int | None:
    """Return a whole number above 0, or None for anything else."""
    value = body.get(name)
    return value if type(value) is int and value > 0 else None


def arguments_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments as an object; what is none becomes empty, as formats with objects cannot hold it."""
    try:
        value = json.loads(call["function"]["arguments"] or "{}")
    except ValueError:
        return {}
    return as_object(value)


def function_call(identifier: object, name: object, arguments: object) -> dict[str, Any]:
    """Return a tool call in the one form that the server works with."""
    return {
        "id": identifier,
        "type": "function",
        "function": {"name": name, "arguments": json_text(as_object(arguments))},
    }


def bearer(http: web.Request) -> str | None:
    """Return the bearer token of a request."""
    given = http.headers.get("Authorization", "")
    return given.removeprefix("Bearer ") if given.startswith("Bearer ") else None


def an_object(body: object) -> dict[str, Any]:
    """Return a body that is a JSON object.

    Raises:
        RequestError: when it is none.
    """
    if not isinstance(body, dict):
        raise RequestError(400, "The body must be a JSON object.")
    return body
