"""Responses with a JSON body."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from fake_server.wire_json import json_bytes

_JSON = "application/json"


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a response with a JSON body."""
    return bytes_response(json_bytes(value), status=status, headers=headers)


def bytes_response(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a response with a body that already is JSON, or is to pass for it."""
    return web.Response(body=body, status=status, headers=merged_headers(_JSON, headers))


def merged_headers(content_type: str, extra: Mapping[str, str] | None) -> CIMultiDict[str]:
    """Return the headers of a response; the extra ones win."""
    headers = CIMultiDict({"Content-Type": content_type})
    if extra:
        headers.update(extra)
    return headers
